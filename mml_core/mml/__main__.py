"""`python -m mml` is `mml`."""

import sys

from mml.cli import main

if __name__ == "__main__":
    sys.argv[0] = "mml"  # what Hydra's tab completion and messages call the program
    sys.exit(main())
