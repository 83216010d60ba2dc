"""Path templates: where files of a kind lie, checked when they are declared, and matched against existing files."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mml.core.data_loading.task_description import RESERVED_TOKENS
from mml.core.scripts.exceptions import PathTemplateError
from mml.core.scripts.utils import did_you_mean

GLOBAL_REUSABLE = "global"
ROOT_TOKENS = ("PROJ_PATH", "TEMP_PATH")
_DIGITS = 4
# Runs, and the claims beside every file.
_RESERVED_FOLDERS = ("runs", ".claims")
_SUFFIX = re.compile(r"(\.[A-Za-z][A-Za-z0-9]{0,11})?\.(gz|bz2|xz|zst|lz4)$|\.[A-Za-z][A-Za-z0-9]{0,11}$")
_MISSPELT = re.compile(r"(TASK|FILE|PROJ|TEMP)[_-]?(NAME|PATH)S?|(?i:(task|file|proj|temp)[_-](name|path)s?)")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class PathTemplate(NamedTuple):
    """Where files of one kind lie.

    Attributes:
        key: name of the kind.
        path: the path with tokens, e.g. `PROJ_PATH/FIMS/TASK_NAME/fim.npy`.
        numbered: whether files are numbered, `fim_0001.npy`, `fim_0002.npy`, ...
        reusable: False; True: per task; `GLOBAL_REUSABLE`: one file for a project.
        obj_cls: class of the objects stored, None for any.
    """

    key: str
    path: PurePosixPath
    numbered: bool = True
    reusable: bool | str = False
    obj_cls: type | None = None

    @property
    def per_task(self) -> bool:
        """Tell whether a path needs the name of a task."""
        return "TASK_NAME" in str(self.path)

    @property
    def per_file_name(self) -> bool:
        """Tell whether a path needs a file name."""
        return "FILE_NAME" in str(self.path)

    @property
    def temporary(self) -> bool:
        """Tell whether the files go when their run is finished."""
        return self.path.parts[0] == "TEMP_PATH"

    def fill(self, root: Path, task_name: str | None, file_name: str | None) -> Path:
        """Return the path, not numbered yet, below the folder that stands for the first token."""
        text = "/".join(self.path.parts[1:])
        return root / text.replace("TASK_NAME", task_name or "").replace("FILE_NAME", file_name or "")

    def pattern(self) -> re.Pattern[str]:
        """Return a pattern for the paths of files of this kind relative to the root token, in POSIX form.

        Its groups are `task`, `file` and `number`, as far as the template has them.
        """
        head, tail = list(self.path.parts[1:-1]), self.path.parts[-1]
        stem, suffix = _split_suffix(tail)
        # The suffix of a file name is part of FILE_NAME, so it stands behind the number.
        number = rf"_(?P<number>[0-9]{{{_DIGITS},}})" if self.numbered else ""
        free = r"(?:\.[^/]*)?" if self.per_file_name and "FILE_NAME" in tail else ""
        last = _token_pattern(stem) + number + re.escape(suffix) + free
        text = "/".join([*(_token_pattern(part) for part in head), last])
        return re.compile(text)


def number_path(path: Path, number: int) -> Path:
    """Return `path` with a number before its suffix, at least four digits."""
    stem, suffix = _split_suffix(path.name)
    return path.with_name(f"{stem}_{number:0{_DIGITS}d}{suffix}")


def numbers_taken(path: Path, names: list[str]) -> list[int]:
    """Return the numbers that `names`, files beside `path`, already use. Names of any other form are ignored."""
    stem, suffix = _split_suffix(path.name)
    pattern = re.compile(rf"{re.escape(stem)}_([0-9]{{{_DIGITS},}}){re.escape(suffix)}")
    return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]


def make_template(
    key: str, path: Path | str, numbered: bool, reusable: bool | str, obj_cls: type | None
) -> PathTemplate:
    """Check a declaration and return its template.

    Raises:
        PathTemplateError: names the key, the template and what is wrong with it.
    """
    template = PathTemplate(key, PurePosixPath(path), numbered, reusable, obj_cls)
    if fault := _fault(template):
        msg = f"Path template '{template.path}' of key '{key}' is refused: {fault}."
        raise PathTemplateError(msg)
    return template


def _fault(template: PathTemplate) -> str | None:
    key: Any = template.key
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key == "clean_up":
        return "a key is made of letters, digits, '_' and '-', as it is typed in reuse.<key>, beside reuse.clean_up"
    obj_cls: Any = template.obj_cls
    if not isinstance(obj_cls, type | None):
        return f"obj_cls has to be a class or None, not {template.obj_cls!r}"
    return _path_fault(template.path) or _reuse_fault(template)


def _path_fault(path: PurePosixPath) -> str | None:
    parts = path.parts
    if not parts or parts[0] not in ROOT_TOKENS:
        return f"it has to start with one of {', '.join(ROOT_TOKENS)}"
    if len(parts) < 2:
        return "it names no file below the first token"
    if ".." in parts or "\0" in str(path):
        return "it holds '..' or a zero byte"
    if taken := next((name for name in _RESERVED_FOLDERS if name in (parts[1], parts[-1])), None):
        return f"'{taken}' is a folder of mml's own"
    return _token_fault("/".join(parts[1:]))


def _token_fault(text: str) -> str | None:
    if any(token in text for token in ROOT_TOKENS):
        return f"{' and '.join(ROOT_TOKENS)} may only stand at its start"
    if text.count("TASK_NAME") > 1 or text.count("FILE_NAME") > 1:
        return "a token stands in it twice"
    rest = text.replace("TASK_NAME", "").replace("FILE_NAME", "")
    if misspelt := _MISSPELT.search(rest):
        return f"'{misspelt[0]}' is no token. {did_you_mean(misspelt[0].upper(), RESERVED_TOKENS).rstrip('?')}"
    return None


def _reuse_fault(template: PathTemplate) -> str | None:
    if not isinstance(template.reusable, bool) and template.reusable != GLOBAL_REUSABLE:
        return f"reusable has to be True, False or '{GLOBAL_REUSABLE}', not {template.reusable!r}"
    if template.reusable is True and not template.per_task:
        return f"files reused per task need TASK_NAME in their path; for one file per project say '{GLOBAL_REUSABLE}'"
    if template.reusable == GLOBAL_REUSABLE and template.per_task:
        return "one file per project can't have TASK_NAME in its path; say reusable=True"
    if template.reusable and template.per_file_name:
        return "with FILE_NAME in its path nobody could know which file to reuse"
    if template.reusable and template.temporary:
        return "temporary files are gone when another run could reuse them"
    return None


def _split_suffix(name: str) -> tuple[str, str]:
    """Split `model.tar.gz` into `model` and `.tar.gz`, `task.v2.json` into `task.v2` and `.json`.

    Dots that lead no suffix (`v1.5 run`) stay in the stem.
    """
    match = _SUFFIX.search(name)
    cut = match.start() if match and match.start() > 0 else len(name)
    return name[:cut], name[cut:]


def _token_pattern(part: str) -> str:
    escaped = re.escape(part)
    return escaped.replace("TASK_NAME", r"(?P<task>[^/]+)").replace("FILE_NAME", r"(?P<file>[^/]+?)")
