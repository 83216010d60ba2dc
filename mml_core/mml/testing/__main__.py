"""`python -m mml.testing` is `mml` with the mode `contract`, whose steps a test can hold, fail and kill."""

import sys

from mml.cli import main
from mml.core.scripts.plugins import add_config_search_path

if __name__ == "__main__":
    add_config_search_path("pkg://mml.testing.configs")
    sys.exit(main())
