"""What mml is set up with, and the world it runs in: settings, plugins, the clock, and how text is written."""

import difflib
import locale
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from mml.core.scripts.environment import (
    DATA_VARIABLE,
    RESULTS_VARIABLE,
    Location,
    data_location,
    env_files,
    read_env_file,
    results_location,
)
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.plugins import PluginReport, broken_plugins, load_plugins
from mml.doctor.verdicts import Settings, Verdict, ok, problem, reason, warning
from mml.doctor.versions import pip, pip_install
from mml.report.tables import seconds_text

_SKEW = 2.0  # seconds that clocks of machines may differ
_AHEAD = 60.0
_MOST_FOLDERS = 2000
# No machine's clock may be before the day that this was written on: 2026-01-01.
_EARLIEST = 1_767_225_600.0


def read_settings(overrides: list[str]) -> Settings:
    """Return the settings as a run with these overrides would have them, as far as they can be found out."""
    try:
        from mml.config_loading import compose

        load_plugins()
        cfg = compose(overrides)
        return Settings(Path(cfg.data_dir), Path(cfg.out_dir), bool(cfg.sys.allow_gpu))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever is wrong with Hydra or a setting is a finding
        return Settings(_location(data_location), _location(results_location), fault=reason(error))


def _location(find: Callable[[], Location]) -> Path | None:
    with suppress(MMLError):
        return find().path
    return None


def check_config(settings: Settings) -> Verdict:
    """Check that the configuration can be composed."""
    if settings.fault:
        return problem(f"the configuration can't be composed: {settings.fault}", "mend it; mml --info all shows more")
    return ok("the configuration can be composed")


def check_env(_: Settings) -> Verdict:
    """Check the `mml.env` files, and the variables that start with MML_."""
    faults = []
    files = list(env_files())
    for path in files:
        try:
            read_env_file(path)
        except MMLError as error:
            faults.append(str(error))
    if faults:
        return problem(" ".join(faults), f"edit {', '.join(map(str, files))}")
    known = (DATA_VARIABLE, RESULTS_VARIABLE)
    for name in sorted(os.environ):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name not in known and name.startswith("MML_") and near:
            return warning(f"the variable {name} means nothing to mml", f'export {near[0]}="${name}"; unset {name}')
    return ok(f"read from {', '.join(map(str, files))}" if files else "no mml.env, and none is needed")


def check_plugins(_: Settings) -> Verdict:
    """Check that every plugin can be loaded."""
    reports = load_plugins()
    broken = broken_plugins(reports)
    if not broken:
        return ok(", ".join(str(report).removeprefix("plugin ") for report in reports) or "none installed")
    return problem("; ".join(map(str, broken)), "; ".join(map(_plugin_fix, broken)))


def _plugin_fix(report: PluginReport) -> str:
    missing = str(report.fault).partition("No module named ")[2].strip("'").partition(".")[0]
    if missing:
        return f"{pip_install(missing)} (what {report.name} lacks)"
    upgrade = pip_install("--upgrade", report.distribution)
    return f"{upgrade}, or without it: {pip('uninstall', report.distribution)}"


def check_clock(settings: Settings) -> Verdict:
    """Check the clock against that of the results' disk, and against what earlier runs left."""
    now = time.time()
    if now < _EARLIEST:
        return problem(
            f"the clock says {time.strftime('%Y-%m-%d', time.localtime(now))}", "set it: timedatectl set-ntp 1"
        )
    folder = settings.results
    if folder is None or not folder.is_dir():
        return ok("nothing to compare it with yet")
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=folder, prefix=".mml-doctor-") as file:
        file.write(b"x")
        file.flush()
        skew = os.fstat(file.fileno()).st_mtime - time.time()
        if abs(skew) > _SKEW:
            what = f"files in {folder} get times that are {seconds_text(abs(skew))} {'ahead' if skew > 0 else 'behind'}"
            return warning(what, "set the clocks of this machine and of the file server: timedatectl set-ntp 1")
    for path in islice(_marks(folder), _MOST_FOLDERS):
        with suppress(OSError):
            ahead = path.stat().st_mtime - time.time()
            if ahead > _AHEAD:
                what = f"{path} is from the future, by {seconds_text(ahead)}: the clock was ahead, or jumped back"
                return warning(what, f"set the clock (timedatectl set-ntp 1); if it is right now: touch {path}")
    return ok("it agrees with the disk, and with earlier runs")


def _marks(results: Path) -> Iterator[Path]:
    """Yield the folders and journals of runs, whose times show what the clock said."""
    for run in results.glob("*/runs/*"):
        yield run
        yield run / "journal.jsonl"


def check_text(_: Settings) -> Verdict:
    """Check that text is read and written as UTF-8."""
    found = {
        "file names": sys.getfilesystemencoding(),
        "files": locale.getpreferredencoding(do_setlocale=False),
        "the terminal": getattr(sys.stdout, "encoding", None) or "utf-8",
    }
    other = {what: name for what, name in found.items() if name.lower().replace("-", "") != "utf8"}
    if not other:
        return ok("UTF-8 everywhere")
    what = ", ".join(f"{name} for {what}" for what, name in other.items())
    return warning(
        f"{what} instead of UTF-8: names and tables with other signs fail", "export LANG=C.UTF-8 PYTHONUTF8=1"
    )
