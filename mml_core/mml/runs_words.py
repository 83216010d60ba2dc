"""What the verbs `mml runs` and `mml status` understand: flags, and the words `key=value` that say the same."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mml.core.scripts.environment import absolute_path, results_location
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError

RUN = "a name, a part of one that no other run has, project/run, a label, or `latest`"
# Words that name the same as a flag of another name.
_ALIASES = {"proj": "project"}


class VerbParser(argparse.ArgumentParser):
    """Parses the words of a verb; what it can't understand is an error in mml's words."""

    def __init__(self, prog: str, description: str, **options: Any) -> None:
        super().__init__(
            prog, description=description, formatter_class=_HelpFormatter, allow_abbrev=False, add_help=False, **options
        )
        self.add_argument("-h", "--help", action="help", help="show this and exit")

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        msg = f"{message[0].upper()}{message[1:]}. See `{self.prog} --help`."
        raise MMLMisconfigurationException(msg)

    def flags(self) -> list[str]:
        """Return all flags in their long form."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what the words say.

        Raises:
            MMLMisconfigurationException: they can't be understood; names the nearest flag.
        """
        found, unknown = self.parse_known_intermixed_args([self._as_flag(word) for word in words])
        if unknown:
            flag = unknown[0].partition("=")[0]
            if flag.startswith("-"):
                raise UnknownNameError(flag, kind="flag", known=self.flags(), fix=f"See `{self.prog} --help`.")
            self.error(f"nothing is known of '{' '.join(unknown)}'")
        return found

    def _as_flag(self, word: str) -> str:
        """Return `proj=mine` as `--project=mine`, for every flag that takes a value."""
        key, mark, value = word.partition("=")
        if not mark or not key.isidentifier():
            return word
        flag = f"--{_ALIASES.get(key, key).replace('_', '-')}"
        takes = any(flag in action.option_strings and action.nargs != 0 for action in self._actions)
        return f"{flag}={value}" if takes else word


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Leaves what was written by hand as it is, and starts as other helps of mml do."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Write the usage."""
        super().add_usage(usage, actions, groups, prefix or "Usage: ")


def add_place(parser: VerbParser, *, several: bool = False) -> None:
    """Add the flags that say where runs are looked for, in one project or `several`."""
    action = "append" if several else "store"
    parser.add_argument("--project", action=action, metavar="NAME", help="only runs of this project (also proj=NAME)")
    parser.add_argument("--out-dir", metavar="DIR", help="folder of all projects (also out_dir=DIR); else as for a run")


def results_root(out_dir: str | None) -> Path:
    """Return the folder of all projects: the one given, or else where a run would put its results.

    Raises:
        MMLMisconfigurationException: there is no way to tell.
    """
    return absolute_path(out_dir) if out_dir else results_location().path


def as_names(values: Sequence[str] | None) -> list[str]:
    """Return the names of a flag that may be repeated, and given several names at once: `a,b`."""
    return [name.strip() for value in values or () for name in value.strip("[]").split(",") if name.strip()]
