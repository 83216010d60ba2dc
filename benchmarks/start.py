"""`mml info` with no task beside a minimal Hydra app, and its plan beside it: wall time of whole processes."""

import os
import tempfile
from pathlib import Path

from benchmarks._support import pairs, python, show, wall

APP = """
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    print(cfg)

main()
"""


def main() -> None:
    """Measure in turn and print the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        env = {**os.environ, "MML_DATA_PATH": str(folder / "data"), "MML_RESULTS_PATH": str(folder / "results")}
        ours, peer, ratio = pairs(
            lambda: wall(python("-m", "mml", "info"), folder, env),
            lambda: wall(python("app.py", "hydra.run.dir=.", "hydra.output_subdir=null"), folder, env),
            runs=9,
        )
        show("mml info with no task / a minimal Hydra app", ratio, "<= 1.5", f"{ours:.2f} s / {peer:.2f} s")
        ours, peer, ratio = pairs(
            lambda: wall(python("-m", "mml", "plan", "info"), folder, env),
            lambda: wall(python("-m", "mml", "info"), folder, env),
            runs=9,
        )
    show("mml plan info / mml info, both with no task", ratio, "", f"{ours:.2f} s / {peer:.2f} s")


if __name__ == "__main__":
    main()
