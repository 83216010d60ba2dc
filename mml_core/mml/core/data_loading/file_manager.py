"""MMLFileManager: the one place that knows where files lie. A facade of templates, claims, index and reuse."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from mml.core.data_loading import claims, cleanup, reuse
from mml.core.data_loading.path_templates import GLOBAL_REUSABLE, PathTemplate, make_template, numbers_taken
from mml.core.data_loading.task_description import RESERVED_TOKENS
from mml.core.data_loading.task_index import TaskIndex
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.exceptions import PathTemplateError, UnknownNameError
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.utils import Singleton, fsync_folder, unfinished_writes

logger = logging.getLogger(__name__)

TEMP_FOLDER = "temp"
_LONGEST_NAME = 200


def _core_templates() -> dict[str, PathTemplate]:
    """Return the kinds of files that mml itself writes."""
    declared: list[tuple[str, str, bool, bool]] = [
        # key, path, numbered, reusable
        ("parameters", "PROJ_PATH/PARAMETERS/TASK_NAME/model.safetensors", True, True),
        ("pipeline", "PROJ_PATH/PIPELINES/TASK_NAME/pipeline.yaml", True, True),
        ("models", "PROJ_PATH/MODELS/TASK_NAME/model.json", True, True),
        ("predictions", "PROJ_PATH/PREDICTIONS/TASK_NAME/FILE_NAME", True, False),
        ("metrics", "PROJ_PATH/METRICS/TASK_NAME/FILE_NAME", True, False),
        ("plots", "PROJ_PATH/PLOTS/TASK_NAME/FILE_NAME", True, False),
        ("sample_grid", "PROJ_PATH/SAMPLE_GRIDS/TASK_NAME/sample_grid.png", True, False),
        ("temp", "TEMP_PATH/FILE_NAME", False, False),
        ("checkpoints", "TEMP_PATH/CHECKPOINTS/TASK_NAME/FILE_NAME", False, False),
    ]
    return {key: make_template(key, path, numbered, reusable, None) for key, path, numbered, reusable in declared}


class MMLFileManager(metaclass=Singleton):
    """Hands out every path, finds installed tasks, and reuses files of other projects.

    Args:
        data_path: folder of the tasks and downloads.
        proj_path: folder of the project's results; its parent is the results root.
        log_path: folder of the run, None outside of runs.
        reuse_cfg: key -> project, `<project>#<number>` or a list of them.
        remove_cfg: key -> whether files of this kind go after a successful run.

    Raises:
        UnknownNameError: an unknown key or project to reuse.
        ReuseError: a kind that can't be reused.
    """

    GLOBAL_REUSABLE = GLOBAL_REUSABLE
    _templates: ClassVar[dict[str, PathTemplate]] = _core_templates()

    def __init__(
        self,
        data_path: Path,
        proj_path: Path,
        log_path: Path | None = None,
        reuse_cfg: Mapping[str, Any] | None = None,
        remove_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        self.data_path = Path(data_path).absolute()
        self.proj_path = Path(proj_path).absolute()
        self.log_path = log_path
        self.task_index = TaskIndex(self.data_path)
        # Is told every path that is about to be created, before it is: (path, key).
        self.on_path: Callable[[Path, str], None] | None = None
        # Is told a path that it was told before, but that another process of the run got: it is not this one's.
        self.on_lost_path: Callable[[Path], None] | None = None
        # How many files of a kind and task the steps before the present one make, where steps run at the same time.
        self.numbers_before: Callable[[str | None], int] | None = None
        self._numbering = claims.Numbering()
        self._again: list[Path] = []
        self._kept_again = False
        self._removed_from: set[Path] = set()
        self._reuse = reuse.parse_reuse(reuse_cfg or {}, self._templates)
        self.kinds_to_remove = cleanup.wanted_kinds(remove_cfg or {}, self._templates)
        reuse.check_projects(self._reuse, self.results_root)
        self.global_reusables = reuse.find_global(self._reuse, self._templates, self.results_root)

    @classmethod
    def add_assignment_path(
        cls,
        obj_cls: type | None,
        key: str,
        path: Path | str,
        enable_numbering: bool = True,
        reusable: bool | str = False,
    ) -> None:
        """Declare where files of a kind lie; to be called before the file manager exists, e.g. by a plugin.

        Args:
            obj_cls: class of the objects, None for any.
            key: name of the kind, used in `construct_saving_path`, `reuse.<key>` and `reuse.clean_up.<key>`.
            path: the path with tokens: starts with `PROJ_PATH` or `TEMP_PATH`, may hold `TASK_NAME` and `FILE_NAME`.
            enable_numbering: whether files are numbered, so that none replaces another.
            reusable: True when other projects may reuse a task's file, `GLOBAL_REUSABLE` for one file of a project.

        Raises:
            PathTemplateError: the template can't be used, the key has another one, or a file manager exists already.
        """
        template = make_template(key, path, enable_numbering, reusable, obj_cls)
        known = cls._templates.get(key)
        if known == template:
            return
        if known is not None:
            msg = f"Key '{key}' has the path template '{known.path}' already; '{template.path}' needs another key."
            raise PathTemplateError(msg)
        if cls.exists():
            msg = (
                f"Path template of key '{key}' comes too late: the file manager exists already. Declare it where your "
                "module is imported (a plugin: in the module of its entry point)."
            )
            raise PathTemplateError(msg)
        cls._templates[key] = template

    @classmethod
    def templates(cls) -> dict[str, PathTemplate]:
        """Return all declared templates by key."""
        return dict(cls._templates)

    @property
    def results_root(self) -> Path:
        """The folder of all projects."""
        return self.proj_path.parent

    @property
    def roots(self) -> PathRoots:
        """What paths in records are relative to."""
        return PathRoots(self.results_root, self.data_path)

    @property
    def temp_path(self) -> Path:
        """The folder of temporary files: of the run, or of the project outside of runs."""
        return (self.log_path or self.proj_path) / TEMP_FOLDER

    def open_run(self, log_path: Path) -> None:
        """Take files constructed from now on as those of the run whose folder is `log_path`."""
        self.log_path = log_path
        self._numbering = claims.Numbering(log_path.name)

    def number_anew(self) -> None:
        """Look which numbers of files are free: other processes of the run may have taken or freed some."""
        self._numbering.look_again()

    def task_path(self, name: str) -> Path:
        """Return the folder of a task, which need not exist."""
        return self.task_index.folder / name

    def get_download_path(self, name: str) -> Path:
        """Return the folder for downloads of a data set, created when missing."""
        path = self.data_path / "downloads" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def reuses(self) -> bool:
        """Tell whether files of other projects are reused."""
        return bool(self._reuse)

    def load_struct(self, name: str, *, with_reuse: bool = True) -> TaskStruct:
        """Return a fresh struct of an installed task, with what `reuse` finds for it attached unless told not to.

        Raises:
            UnknownNameError: there is no such task.
            TaskDescriptionError: its description can't be read.
            ReuseError: a reuse request finds nothing for it.
        """
        struct = TaskStruct(self.task_index.header(name), self.task_path(name))
        for key, sources in self._reuse.items() if with_reuse else ():
            template = self._templates[key]
            if reuse.is_global(template):
                continue
            found = reuse.find_by_project(template, sources, self.results_root, name)
            if not found:
                raise reuse.missing_error(key, sources, name)
            if key == "models":
                struct.models = [ModelStorage.from_json(path, self.roots) for files in found for path in files]
            else:
                struct.paths[key] = found[0][-1]
        return struct

    def construct_saving_path(
        self, obj: Any, key: str, task_name: str | None = None, file_name: str | None = None
    ) -> Path:
        """Return the path for a new file; its folder exists and, for a numbered kind, its number is the caller's.

        Args:
            obj: what is to be stored; checked against the class declared for the key. None is not checked.
            key: kind of the file.
            task_name: task that it belongs to, where the template has `TASK_NAME`.
            file_name: name with suffix, where the template has `FILE_NAME`.

        Raises:
            UnknownNameError: no template has this key.
            PathTemplateError: a name is missing, not wanted or can't be a file name, or `obj` has another class.
        """
        template = self._template(key)
        _check_request(template, obj, task_name, file_name)
        root = self.temp_path if template.temporary else self.proj_path
        path = template.fill(root, task_name, file_name)
        if template.numbered:
            # Files with names of their own are told apart by these.
            before = None if self.numbers_before is None or file_name else self.numbers_before(task_name)
            announce = partial(self._announce, key=key)
            return self._path_again(path, key) or self._numbering.claim_next(path, announce, before, self._lose)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file that stands already is not this step's to remove.
        if not os.path.lexists(path):
            self._announce(path, key)
        if not template.temporary:
            claims.share(path, self._numbering.owner)
        return path

    def owns(self, path: Path) -> bool:
        """Tell whether a file is of this run, so that it may be replaced; one of another run may not."""
        return claims.claim_owner(path) == self._numbering.owner

    def prepare_replacement(self, path: Path) -> None:
        """Remove what killed attempts to replace an earlier step's file left beside it; others' files stay."""
        for left in unfinished_writes(path) if self.owns(path) else ():
            cleanup.remove(left)

    def remove_own(self, path: Path) -> None:
        """Remove a file of this run: one in its temporary folder, or one that it claimed. Others stay.

        That it is gone becomes durable with `remove_temp`, once for all files.
        """
        if not _lies_below(path, self.temp_path, self.proj_path):
            logger.warning("%s is recorded as a file of this run, but is none of its project: it stays.", path)
        elif path.is_relative_to(self.temp_path):
            cleanup.remove_with_claim(path)
            self._removed_from.add(path.parent)
        elif claims.remove_claimed(path, self._numbering.owner, cleanup.remove):
            self._removed_from |= {path.parent, path.parent / claims.CLAIMS_FOLDER}

    def remove_half_written(self, path: Path) -> None:
        """Remove a file that a killed step of this run announced, and what its unfinished writes left beside it."""
        if _lies_below(path, self.temp_path, self.proj_path):
            claims.complete_claim(path, self._numbering.owner)
            own = path.is_relative_to(self.temp_path) or claims.claim_owner(path) == self._numbering.owner
            for left in unfinished_writes(path) if own else ():
                cleanup.remove(left)
        self.remove_own(path)
        self._settle()

    def remove_temp(self) -> None:
        """Remove the temporary folder of the run, and make durable that it and other files of the run are gone."""
        cleanup.remove(self.temp_path)
        self._removed_from.add(self.temp_path.parent)
        self._settle()

    def _settle(self) -> None:
        """Keep a power cut from bringing back what was removed."""
        for folder in filter(Path.is_dir, sorted(self._removed_from)):
            fsync_folder(folder)
        self._removed_from.clear()

    @contextmanager
    def repeating(self, paths: Iterable[Path], *, keep: bool = False) -> Iterator[None]:
        """Hand out numbered paths anew while the block runs, as far as it asks for them; their files are removed then.

        Args:
            paths: those that the same block got in an earlier part of the run, or in its driver.
            keep: leave the files, for another process has made them and steps may read them.
        """
        self._again, self._kept_again = list(paths), keep
        try:
            yield
        finally:
            self._again, self._kept_again = [], False

    def _path_again(self, path: Path, key: str) -> Path | None:
        """Return the first path of an earlier part of the run that `path` was numbered to, if it is still the run's."""
        for earlier in self._again:
            if earlier.parent == path.parent and numbers_taken(path, [earlier.name]):
                self._again.remove(earlier)
                if self._kept_again:
                    return earlier
                self.remove_half_written(earlier)
                self._announce(earlier, key)
                return earlier if claims.claim(earlier, self._numbering.owner) else None
        return None

    def _announce(self, path: Path, key: str) -> None:
        if self.on_path is not None:
            self.on_path(path, key)

    def _lose(self, path: Path) -> None:
        if self.on_lost_path is not None:
            self.on_lost_path(path)

    def _template(self, key: str) -> PathTemplate:
        if key not in self._templates:
            fix = "Declare it with add_assignment_path."
            raise UnknownNameError(key, kind="path key", known=self._templates, fix=fix)
        return self._templates[key]


def _lies_below(path: Path, *folders: Path) -> bool:
    """Tell whether a path, which a record on disk names, lies in one of the folders that it may lie in."""
    return ".." not in path.parts and any(path != folder and path.is_relative_to(folder) for folder in folders)


def _check_request(template: PathTemplate, obj: Any, task_name: str | None, file_name: str | None) -> None:
    """Refuse a request that would end in a wrong path."""
    fault = _object_fault(template, obj) or _missing_name(template, task_name, file_name)
    for kind, name in (("task_name", task_name), ("file_name", file_name)):
        if name and (reason := _name_fault(name)):
            fault = f"{kind}='{name}' can't be part of a path: {reason}"
    if fault:
        msg = f"No path for key '{template.key}': {fault}."
        raise PathTemplateError(msg)


def _object_fault(template: PathTemplate, obj: Any) -> str | None:
    if template.obj_cls is None or obj is None or isinstance(obj, template.obj_cls):
        return None
    return f"it stores {template.obj_cls.__name__} objects, not {type(obj).__name__}"


def _missing_name(template: PathTemplate, task_name: str | None, file_name: str | None) -> str | None:
    if template.per_task and not task_name:
        return "its path needs a task_name"
    if template.per_file_name and not file_name:
        return "its path needs a file_name, e.g. 'values.csv'"
    if file_name and not template.per_file_name:
        return f"its path {template.path} has no place for file_name='{file_name}'"
    return None


def _name_fault(name: str) -> str | None:
    if name in (".", "..", claims.CLAIMS_FOLDER):
        return "it is a name of the file system or of mml itself"
    if any(sign in name for sign in "/\\\0"):
        return "it holds a separator"
    if token := next((token for token in RESERVED_TOKENS if token in name), None):
        return f"'{token}' is a token of path templates"
    # A number, and what an unfinished write has in front and behind, have to fit in, too.
    return f"it is longer than {_LONGEST_NAME} bytes" if len(os.fsencode(name)) > _LONGEST_NAME else None
