"""The documentation names all that there is, its code runs, and it builds."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mml.config_docs import TreeDoc, read_tree
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from tests.support.tasks import make_task

FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# (?P<name>[\w/]+\.(py|yaml))\n")
LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#]+)")


@pytest.fixture(scope="module")
def written(checkout: Path) -> str:
    """Return all pages that people wrote."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((checkout / "docs").glob("*.md")))


@pytest.fixture(scope="module")
def tree() -> TreeDoc:
    return read_tree(["pkg://mml_configs"])


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and code of the fenced blocks of a page."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield match["language"], match["code"]


def run_page(page: Path, folder: Path) -> str:
    """Write the files that a page shows, run its shell commands (not `nox`) in order, and return what they print."""
    printed = ""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in blocks(page):
        if file := FILE_NAME.match(code):
            (folder / file["name"]).parent.mkdir(exist_ok=True)
            (folder / file["name"]).write_text(code, encoding="utf-8")
        elif language == "bash" and "nox" not in code:
            command = ["bash", "-euo", "pipefail", "-c", code]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
            printed += done.stdout + done.stderr
    return printed


def test_every_mode_is_explained(written: str, tree: TreeDoc) -> None:
    assert [mode for mode in tree.groups["mode"].options if f"mml {mode}" not in written] == []


def test_every_config_group_is_explained(written: str, tree: TreeDoc) -> None:
    assert [group for group in tree.groups if f"`{group}`" not in written] == []


def test_every_method_of_a_scheduler_is_explained(checkout: Path) -> None:
    page = (checkout / "docs" / "own_scheduler.md").read_text(encoding="utf-8")
    public = [name for name in vars(AbstractBaseScheduler) if not name.startswith("_")]
    assert [name for name in public if f"`{name}`" not in page] == []


def test_every_page_is_in_the_table_of_contents(checkout: Path) -> None:
    index = (checkout / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {path.stem for path in (checkout / "docs").glob("*.md")} - {"index"}
    assert {page for page in pages if f"\n{page}\n" not in index} == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(name: str, checkout: Path) -> None:
    links = [match["target"] for match in LINK.finditer((checkout / name).read_text(encoding="utf-8"))]
    assert [link for link in links if not (checkout / link).exists()] == []


def test_every_key_has_a_comment(tree: TreeDoc) -> None:
    keys = [*tree.keys, *(key for group in tree.groups.values() for o in group.options.values() for key in o.keys)]
    assert [key.key for key in keys if key.leaf and not key.text] == []


def test_what_the_readme_says_works(checkout: Path, tmp_path: Path) -> None:
    for number in range(40):
        kind, colour = [("wren", "brown"), ("robin", "red")][number % 2]
        (tmp_path / "birds" / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), colour).save(tmp_path / "birds" / kind / f"{number}.png")
    printed = run_page(checkout / "README.md", tmp_path)
    assert "birds" in printed
    assert list((tmp_path / "results").glob("default/METRICS/birds/brightness*.json"))


def test_the_scheduler_of_the_documentation_works(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path / "data", "digits", classes=2)
    monkeypatch.setenv("MML_DATA_PATH", str(tmp_path / "data"))
    assert "The brightest fold has a mean of" in run_page(checkout / "docs" / "own_scheduler.md", tmp_path)
    assert len(list((tmp_path / "results").glob("default/METRICS/digits/fold_*.json"))) == 5


def test_the_documentation_builds_without_a_warning(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", str(tmp_path / "trees")]
    folders = [str(checkout / "docs"), str(tmp_path / "html")]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (checkout / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (tmp_path / "html").glob("*.html")}


def test_the_config_page_tells_every_key(checkout: Path, tree: TreeDoc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(checkout / "docs")
    import config_pages

    page = "\n".join(config_pages.lines_of(tree))
    assert inspect.getsource(config_pages).startswith('"""')
    assert "| `proj` | `default` | Name of the project" in page
    assert "### `mml info`" in page
    assert config_pages.escape("a <b> `<c>`") == "a \\<b> `<c>`"
