"""The mode `info`: which tasks, models and runs there are, for people as tables and for programs as JSON."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import DictConfig

from mml import __version__
from mml.core.data_loading.cleanup import find_kind_files
from mml.core.data_loading.task_attributes import Modality
from mml.core.data_loading.task_description import SampleDescription, TaskHeader
from mml.core.data_loading.task_index import SampleCounts
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.holdings import Holding, cache_holdings, measure
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.run_folder import RUNS_FOLDER
from mml.core.scripts.runs import RunInfo, project_runs
from mml.core.scripts.utils import atomic_save
from mml.report import info_tables

SUBROUTINES = ["tasks", "models", "runs", "grid"]
FORMATS = ["table", "json"]
MOST_ROWS = 100  # of a sample grid
ROWS_WITHOUT_CLASSES = 4

Record = dict[str, Any]


class InfoScheduler(AbstractBaseScheduler):
    """Shows what there is: every step gathers records, `report` prints them all.

    Attributes:
        sections: `tasks`, `models`, `runs` and `grids`, as far as they are asked for -> records of JSON values.
    """

    records_run = False
    needs_tasks = False  # results outlive the tasks that they are of

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=SUBROUTINES)
        self.sections: dict[str, list[Record]] = {}

    def create_routine(self) -> None:
        """Plan one step per section, and one per sample grid.

        Raises:
            MMLMisconfigurationException: a key of the mode has a value that can't be.
            UnknownNameError: nothing is known of a task by this name.
        """
        _check_mode(self.cfg.mode)
        self._check_names()
        listings: dict[str, Callable[[], None]] = {
            "tasks": self.list_tasks,
            "models": self.list_models,
            "runs": self.list_runs,
        }
        for name in self.subroutines:
            if name in listings:
                self.add_step(listings[name])
        if self.cfg.mode.sample_grid or "grid" in self.subroutines:
            for task in self.task_list or self.fm.task_index.names():
                self.add_step(self.draw_grid, task)

    def list_tasks(self) -> None:
        """Gather the installed tasks, by name."""
        caches = list(cache_holdings(self.fm.data_path))
        self.sections["tasks"] = [
            {**self._task(name, header), "cached": cache_records(name, caches)}
            for name, header in self.fm.task_index.headers()
            if self._wants([name])
        ]

    def list_models(self) -> None:
        """Gather the models of the project, oldest first."""
        records = [record for record in self._models() if self._wants([record["task"]])]
        self.sections["models"] = sorted(records, key=lambda record: str(record.get("created")))

    def list_runs(self) -> None:
        """Gather the runs of the project, oldest first."""
        newest = self.cfg.mode.newest_runs
        runs = project_runs(self.fm.proj_path, None if self.task_list else newest)
        records = [run_record(run) for run in runs if self._wants(run.tasks)]
        self.sections["runs"] = records if newest is None else records[max(0, len(records) - newest) :]

    def draw_grid(self, task: str) -> None:
        """Draw some images of every class of a task into one PNG."""
        from mml.report.sample_grid import draw_grid  # loads Pillow, which no other listing needs

        mode, rows = self.cfg.mode, grid_rows(self.get_struct(task))
        grid = draw_grid(rows[:MOST_ROWS], mode.grid_columns, mode.grid_pixels)
        path = self.fm.construct_saving_path(grid.image, "sample_grid", task)
        atomic_save(path, grid.image.save)
        self.sections.setdefault("grids", []).append(
            {
                "task": task,
                "file": str(path),
                "rows": min(len(rows), MOST_ROWS),
                "rows_left_out": max(0, len(rows) - MOST_ROWS),
                "unreadable": [str(broken) for broken in grid.broken],
            }
        )

    def report(self) -> None:
        """Print everything that was gathered on stdout: as one JSON document, or as tables."""
        if self.cfg.mode.format == "json":
            sys.stdout.write(as_json(self._document()))
        else:
            info_tables.show_info(self._document(), self._other_projects())

    def _document(self) -> Record:
        return {
            "mml": __version__,
            "data": str(self.fm.data_path),
            "results": str(self.fm.results_root),
            "project": self.fm.proj_path.name,
            **self.sections,
        }

    def _wants(self, tasks: list[str] | tuple[str, ...]) -> bool:
        return not self.task_list or not set(self.task_list).isdisjoint(tasks)

    def _check_names(self) -> None:
        """Refuse a name that neither a task nor a result of this project has."""
        missing = [name for name in self.task_list if not self.fm.task_index.has(name)]
        if not missing:
            return
        known = {*self.fm.task_index.names(), *(record["task"] for record in self._models())}
        known.update(task for run in project_runs(self.fm.proj_path) for task in run.tasks)
        for name in missing:
            if name not in known:
                raise UnknownNameError(name, kind="task", known=known, fix="`mml info` shows all there are.")

    def _task(self, name: str, header: TaskHeader | MMLError) -> Record:
        folder = self.fm.task_path(name)
        if isinstance(header, MMLError):
            return {"name": name, "folder": str(folder), "error": str(header)}
        return task_record(header, self.fm.task_index.counts(name), folder)

    def _models(self) -> Iterator[Record]:
        template = self.fm.templates()["models"]
        for found in find_kind_files([template], self.fm.proj_path):
            try:
                yield model_record(ModelStorage.from_json(found.path, self.fm.roots), found.path)
            except MMLError as error:
                yield {"file": str(found.path), "task": found.path.parent.name, "error": str(error)}

    def _other_projects(self) -> list[str]:
        found = self.fm.results_root.glob(f"*/{RUNS_FOLDER}")
        return sorted(folder.parent.name for folder in found if folder.parent != self.fm.proj_path)


def task_record(header: TaskHeader, counts: SampleCounts, folder: Path) -> Record:
    """Return all that is known of a task without its samples."""
    return {
        **msgspec.to_builtins(header),
        "num_classes": len(header.idx_to_class),
        "num_train": counts.train,
        "num_test": counts.test,
        "num_unlabeled": counts.unlabeled,
        "num_folds": counts.folds,
        "folder": str(folder),
    }


def cache_records(task: str, caches: list[Holding]) -> list[Record]:
    """Return where images of a task lie decoded, one folder per preprocessing, and how many bytes they take."""
    return [{"folder": str(cache.path), "size": measure(cache.path).size} for cache in caches if task in cache.tasks]


def model_record(model: ModelStorage, file: Path) -> Record:
    """Return all that is known of a model, with absolute paths."""
    return {**msgspec.to_builtins(model, enc_hook=_path_text), "file": str(file)}


def run_record(run: RunInfo) -> Record:
    """Return all that is known of a run."""
    created = run.created.isoformat() if run.created else None
    return {**run._asdict(), "path": str(run.path), "created": created, "tasks": list(run.tasks)}


def grid_rows(struct: TaskStruct) -> list[tuple[str, list[Path]]]:
    """Return the training images of a task (and those without a label) by class, with the name of the class.

    Without classes, they are all of one kind, and dealt to some rows without a label.
    """
    description = struct.description
    by_class: dict[int, list[Path]] = {index: [] for index in struct.idx_to_class}
    every: list[Path] = []
    for sample in [*description.train_samples.values(), *description.unlabeled_samples.values()]:
        if Modality.IMAGE in sample:
            path = struct.folder / str(sample[Modality.IMAGE])
            every.append(path)
            for index in _classes(sample):
                by_class.setdefault(index, []).append(path)
    if any(by_class.values()):
        return [(struct.idx_to_class.get(index, str(index)), paths) for index, paths in by_class.items()]
    length = max(1, -(-len(every) // ROWS_WITHOUT_CLASSES))
    return [("", every[start : start + length]) for start in range(0, len(every), length)]


def as_json(document: Record) -> str:
    """Return a document as indented JSON with a newline at its end; NaN becomes null."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _classes(sample: SampleDescription) -> list[int]:
    if Modality.CLASS in sample:
        return [int(sample[Modality.CLASS])]  # type: ignore[arg-type] # a class is one number
    return [int(index) for index in sample.get(Modality.CLASSES, [])]  # type: ignore[union-attr] # a list of numbers


def _path_text(value: Any) -> str:
    return str(value)


def _check_mode(mode: DictConfig) -> None:
    """Refuse values that can't be."""
    if mode.format not in FORMATS:
        raise UnknownNameError(str(mode.format), kind="mode.format", known=FORMATS)
    newest = mode.newest_runs
    if newest is not None and not (isinstance(newest, int) and newest > 0):
        msg = f"mode.newest_runs={newest} can't be: it is a whole number, at least 1, or null for all."
        raise MMLMisconfigurationException(msg)
    for key, least, most in (("grid_columns", 1, 100), ("grid_pixels", 8, 512)):
        if not isinstance(mode[key], int) or not least <= mode[key] <= most:
            msg = f"mode.{key}={mode[key]} can't be: it is a whole number from {least} to {most}."
            raise MMLMisconfigurationException(msg)
