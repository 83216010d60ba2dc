"""The verb `mml doctor`: its words, its table, its exit code."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mml.doctor import folders, gpu, heavy, limits, surroundings, versions
from mml.doctor.verdicts import Check, Finding, Level, Settings, run_checks
from mml.report.tables import PIPE_WIDTH, count_text

_DESCRIPTION = """Look at this machine and name what is wrong, with the command or setting that mends it.

Nothing is changed. It takes about ten seconds, because torch and its kin are tried out in a process of their own."""
_EPILOG = """examples:
  mml doctor
  mml doctor data_dir=/data/mml out_dir=/data/results
  mml doctor sys.allow_gpu=false
  mml doctor --json

The exit code is 0 when there is no problem (there may be warnings), and 1 otherwise."""
_SIGNS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.PROBLEM: ("problem", "bold red")}

CHECKS = (
    Check("mml", "Python", versions.check_python),
    Check("mml", "requirements", versions.check_requirements),
    Check("mml", "duplicates", versions.check_duplicates),
    Check("mml", "extras", versions.check_extras),
    Check("mml", "settings", surroundings.check_env),
    Check("mml", "configuration", surroundings.check_config),
    Check("mml", "plugins", surroundings.check_plugins),
    Check("libraries", "safe lightning", versions.check_malware),
    Check("libraries", "versions", versions.check_pairs),
    Check("libraries", "torch", heavy.check_torch),
    Check("libraries", "torchvision", heavy.check_torchvision),
    Check("libraries", "lightning", heavy.check_lightning),
    Check("libraries", "others", heavy.check_libraries),
    Check("libraries", "GPU", gpu.check_gpu),
    Check("folders", "data", partial(folders.check_folder, "data")),
    Check("folders", "data: space", partial(folders.check_space, "data")),
    Check("folders", "data: links", folders.check_links),
    Check("folders", "results", partial(folders.check_folder, "results")),
    Check("folders", "results: space", partial(folders.check_space, "results")),
    Check("folders", "results: speed", folders.check_fsync),
    Check("system", "open files", limits.check_open_files),
    Check("system", "processes", limits.check_processes),
    Check("system", "file size", limits.check_file_size),
    Check("system", "shared memory", limits.check_shared_memory),
    Check("system", "processors", limits.check_processors),
    Check("system", "memory", limits.check_memory),
    Check("system", "clock", surroundings.check_clock),
    Check("system", "text", surroundings.check_text),
)


def run_doctor(words: Sequence[str]) -> int:
    """Check the machine and print what was found.

    Args:
        words: those after `mml doctor`: flags, and overrides as a run would get them.

    Returns:
        0 when there is no problem, else 1.
    """
    given = _parser().parse_args(list(words))
    settings = surroundings.read_settings(given.overrides)
    findings = list(_checked(settings))
    if given.json:
        _print_json(findings)
    else:
        _print_table(findings)
    return int(any(finding.level is Level.PROBLEM for finding in findings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mml doctor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON, for programs")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", type=_override, help="as for a run, e.g. out_dir=/data/results"
    )
    return parser


def _override(word: str) -> str:
    if "=" not in word:
        msg = f"'{word}' is neither --json nor of the form key=value"
        raise argparse.ArgumentTypeError(msg)
    return word


def _checked(settings: Settings) -> Iterable[Finding]:
    """Yield what was found, and say meanwhile on a terminal what is looked at."""
    terminal = Console(stderr=True, highlight=False)
    with terminal.status("Looking at this machine ..."):
        yield from run_checks(CHECKS, settings)


def _print_json(findings: Sequence[Finding]) -> None:
    good = all(finding.level is not Level.PROBLEM for finding in findings)
    report = {"ok": good, "findings": [finding._asdict() for finding in findings]}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n")


def _print_table(findings: Sequence[Finding]) -> None:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    names = 2 + max(len(finding.check) for finding in findings)
    levels = max(len(level) for level in Level)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        console.print(Text(group, style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for column in (names, levels):
            table.add_column(no_wrap=True, min_width=column)
        table.add_column(overflow="fold")
        for finding in members:
            text, style = _SIGNS[finding.level]
            table.add_row(f"  {finding.check}", Text(text, style=style), _explained(finding))
        console.print(table)
    console.print(Text(_summary(findings)))


def _explained(finding: Finding) -> Text:
    """Return what was found, with the way to mend it in a line of its own."""
    text = Text(finding.what)
    if finding.fix:
        text.append(f"\nmend: {finding.fix}", style="cyan")
    return text


def _summary(findings: Sequence[Finding]) -> str:
    numbers = {level: sum(finding.level is level for finding in findings) for level in Level}
    if not numbers[Level.PROBLEM] and not numbers[Level.WARNING]:
        return f"All is well: {count_text(len(findings), 'check')}."
    found = [count_text(numbers[level], level.value) for level in (Level.PROBLEM, Level.WARNING) if numbers[level]]
    return f"{' and '.join(found)} in {count_text(len(findings), 'check')}."
