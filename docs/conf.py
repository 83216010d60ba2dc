"""How Sphinx builds this documentation: `nox -s docs`."""

import sys
from pathlib import Path

import mml

sys.path.insert(0, str(Path(__file__).parent))

project = "mml"
author = "The mml developers"
version = release = mml.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "config_pages",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# "Attributes:" of a class becomes a list; the attributes themselves carry no docstring of their own.
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mml {release}"
html_static_path = ["_static"]
html_css_files = ["mml.css"]
