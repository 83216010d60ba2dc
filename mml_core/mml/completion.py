"""Tab completion: Hydra's, for a line in which `mml train ...` and `mml continue ...` mean what they mean elsewhere.

Runs at every TAB, so it never complains: whatever goes wrong, there is nothing to offer.
"""

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import NamedTuple

from mml.config_loading import CONFIG_NAME, make_hydra
from mml.continuing import CONTINUE, FORK_FLAG, LATEST
from mml.core.data_loading.task_description import DESCRIPTION_FILE
from mml.core.scripts.environment import data_location, results_location
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.plugins import load_plugins
from mml.core.scripts.runs import list_runs
from mml.detaching import DETACH_FLAG
from mml.forking import FORK
from mml.plan_words import own_flags
from mml.verb_completion import VERBS, verb_words

SHELLS = ("bash", "zsh", "fish")
_BEFORE_A_RUN = ((CONTINUE,), (CONTINUE, FORK_FLAG))
_OF_CONFIGS = ("--cfg", "--info", "--resolve", "--config-dir", "--config-name")
_FLAGS = ("--help", "--version", "--multirun", DETACH_FLAG, *_OF_CONFIGS)
_NOT_TO_PLAN = {"--version", DETACH_FLAG, "--cfg", "--info", "--resolve"}
_RUNS = 20
PLAN = "plan"


class Line(NamedTuple):
    """A command line being typed: the words that are complete, and the one that is not."""

    words: tuple[str, ...]
    word: str


def complete(flags: Namespace) -> None:
    """Carry out `-sc install=<shell>`, `-sc uninstall=<shell>` or `-sc query=<shell>`.

    Raises:
        MMLMisconfigurationException: another verb or shell.
    """
    verb, _, shell = (flags.overrides or [""])[0].partition("=")
    if verb not in ("install", "uninstall", "query") or shell not in SHELLS or len(flags.overrides) != 1:
        msg = f"-sc wants install=<shell> or uninstall=<shell>, with a shell among {', '.join(SHELLS)}."
        raise MMLMisconfigurationException(msg)
    if verb != "query":
        return make_hydra().shell_completion(CONFIG_NAME, list(flags.overrides))
    logging.disable()
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), suppress(Exception, SystemExit):
            _query(split_line(os.environ["COMP_LINE"]), shell)
    finally:
        logging.disable(logging.NOTSET)
    return None


def split_line(line: str) -> Line:
    """Return the words after the program's name, the last of them as the one being typed."""
    words = line.split()[1:]
    return Line(tuple(words), "") if not words or line[-1].isspace() else Line(tuple(words[:-1]), words[-1])


def planned_line(line: Line) -> Line:
    """Return the line of the command that `mml plan` is asked to plan; the same line without `plan`."""
    if line.words[:1] != (PLAN,):
        return line
    return Line(tuple(word for word in line.words[1:] if word not in own_flags()), line.word)


def own_words(line: Line, modes: Iterable[str]) -> list[str]:
    """Return what Hydra can't offer for the word being typed: verbs, modes, flags, tasks, runs and help topics."""
    return sorted(name for name in _offered(line, modes) if name.startswith(line.word))


def _offered(line: Line, modes: Iterable[str]) -> Iterable[str]:
    if line.words[:1] == (PLAN,):
        return _to_plan(line, modes)
    words, (key, mark, _) = line.words, line.word.partition("=")
    if line.word.startswith("-"):
        return [*_FLAGS, FORK_FLAG] if words[:1] == (CONTINUE,) else _FLAGS
    if words[:1] == ("help",):
        return _topics()
    if words in _BEFORE_A_RUN:
        return _runs()
    if mark and key in ("task", CONTINUE, FORK):
        return [f"{key}={name}" for name in (_tasks() if key == "task" else _runs())]
    begun = [given for given in words if not given.startswith("-")]
    return [] if begun else [*modes, "help", CONTINUE, PLAN, *VERBS]


def _to_plan(line: Line, modes: Iterable[str]) -> Iterable[str]:
    """Return what may follow `mml plan`: what a run may begin with, and flags."""
    planned = planned_line(line)
    if line.word.startswith("-"):
        return [*own_flags(), *({*_offered(planned, modes)} - _NOT_TO_PLAN)]
    return _offered(planned, modes) if planned.words or "=" in line.word else [*modes, CONTINUE]


def hydra_line(line: Line, modes: Sequence[str]) -> str | None:
    """Return the line that Hydra should complete, None if it has nothing to say."""
    line = planned_line(line)
    words = [word for word in line.words if not word.startswith("-")]
    if words[:1] == ["help"] or line.word.startswith("-") or line.words in _BEFORE_A_RUN:
        return None
    if words[:1] == [CONTINUE]:
        words = [word for word in words if "=" in word]
    elif words and words[0] in modes:
        words[0] = f"mode={words[0]}"
    multirun = ["--multirun"] if {"-m", "--multirun"} & set(line.words) else []
    return " ".join(["mml", *multirun, *words, line.word])


def _query(line: Line, shell: str) -> None:
    if line.words and line.words[0] in VERBS:
        return _say(verb_words(line.words, line.word))
    load_plugins()
    hydra = make_hydra()
    modes = hydra.config_loader.options("mode")
    _say(own_words(line, modes))
    if (text := hydra_line(line, modes)) is not None:
        os.environ["COMP_LINE"] = text
        hydra.shell_completion(CONFIG_NAME, [f"query={shell}"])
    return None


def _say(words: Sequence[str]) -> None:
    if words:
        sys.stdout.write("\n".join(words) + "\n")


def _topics() -> Iterable[str]:
    from mml.help import load_tree, topics

    return topics(load_tree())


def _tasks() -> list[str]:
    folder = data_location().path / "tasks"
    return [path.parent.name for path in folder.glob(f"*/{DESCRIPTION_FILE}")] if folder.is_dir() else []


def _runs() -> list[str]:
    return [LATEST, *(run.name for run in list_runs(results_location().path, newest=_RUNS))]
