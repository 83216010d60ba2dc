"""Tab completion of the verbs with flags of their own: sub-verbs, flags and their values, runs by name and label."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mml.core.scripts.run_files import RUNS_FOLDER, WORKERS_FOLDER
from mml.core.scripts.run_index import project_names
from mml.core.scripts.runs import STATES, all_runs
from mml.runs_choice import LATEST, labels_of
from mml.runs_cli import LIST, SUB_VERBS, make_parser, sub_verb
from mml.runs_list import SORTS
from mml.runs_words import VerbParser, results_root
from mml.status import status_parser

VERBS = ("runs", "status", "doctor")
_DOCTOR_FLAGS = ("--help", "--json", "data_dir=", "out_dir=")
_RUNS = 20
# How many runs each sub-verb takes; None for any number.
_TAKES: dict[str, int | None] = {"show": 1, "log": 1, "diff": 2, "label": 1, "rm": None, LIST: 0, "gc": 0}


class _Typed(NamedTuple):
    """A line being typed, from its verb on: the words that are complete, and the one that is not."""

    words: tuple[str, ...]
    word: str

    @property
    def plain(self) -> list[str]:
        """The words that are neither flags nor `key=value`."""
        return [word for word in self.words if not word.startswith("-") and "=" not in word]


def verb_words(words: tuple[str, ...], word: str) -> list[str]:
    """Return what may stand for the word being typed, on a line whose first word is one of `VERBS`."""
    verb, typed = words[0], _Typed(words[1:], word)
    if verb == "doctor":
        offered: Iterable[str] = _DOCTOR_FLAGS
    elif verb == "status":
        offered = _offered(status_parser(), typed, 1)
    else:
        name, _ = sub_verb(typed.words)
        offered = _offered(make_parser(name), _Typed(typed.words[name != LIST :], word), _TAKES[name])
        if not typed.words and not word.startswith("-"):
            offered = [*(other for other in SUB_VERBS), *offered]
    return sorted({name for name in offered if name.startswith(word)})


def _offered(parser: VerbParser, typed: _Typed, takes: int | None) -> Iterator[str]:
    before = typed.words[-1] if typed.words else ""
    key, mark, _ = typed.word.partition("=")
    if mark:
        yield from (f"{key}={value}" for value in _values(key.lstrip("-"), typed))
    elif before.startswith("--") and (values := _values(before.lstrip("-"), typed)):
        yield from values
    elif typed.word.startswith("-"):
        yield from parser.flags()
    elif takes is None or len(typed.plain) < takes:
        yield from _runs(typed)


def _values(key: str, typed: _Typed) -> list[str]:
    """Return the values that a flag may have, none where there is no list of them."""
    if key in ("project", "proj"):
        return project_names(_root(typed))
    if key == "worker":
        return _workers(typed)
    return list({"state": STATES, "sort": SORTS}.get(key, ()))


def _runs(typed: _Typed) -> Iterator[str]:
    """Yield the newest runs and all labels."""
    root = _root(typed)
    found = all_runs(root)
    yield LATEST
    yield from (run.name for run in found[:_RUNS])
    labels = labels_of(root, {run.project for run in found}).values()
    yield from (label for label in labels if " " not in label)  # a shell would take one with blanks for several words


def _workers(typed: _Typed) -> list[str]:
    """Return the workers of the run that is named, or else of the newest one."""
    wanted = typed.plain[0] if typed.plain else LATEST
    root = _root(typed)
    for run in all_runs(root):
        if wanted in (run.name, LATEST):
            folder = root / run.project / RUNS_FOLDER / run.name / WORKERS_FOLDER
            return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return []


def _root(typed: _Typed) -> Path:
    given = [word.partition("=")[2] for word in typed.words if word.startswith(("out_dir=", "--out-dir="))]
    return results_root(given[-1] if given else None)
