"""The mode `clean`: what a project holds by kind, and removing kinds of it after asking."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from mml.core.data_loading.cleanup import find_kind_files
from mml.core.scripts import holdings
from mml.core.scripts.asking import answered_yes, can_answer
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.holdings import CREATIONS, RUN_KINDS, Holding, Measured, measure
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.removal import remove_holding
from mml.core.scripts.run_lock import is_held
from mml.core.scripts.runs import CONTINUABLE, RUNNING, RunInfo, project_runs, run_folders
from mml.core.scripts.utils import as_list
from mml.report.tables import Column, as_table, count_text, list_text, show, size_text

SHOW, REMOVE = "show", "remove"


class KindRow(NamedTuple):
    """What there is of one kind."""

    kind: str
    files: int
    size: int
    leftovers: int


class CleanScheduler(AbstractBaseScheduler):
    """Shows what a project and the data folder hold, and removes the kinds asked for.

    Attributes:
        kinds: to remove.
        holdings: all that could be removed, as of the last look.
        stays: why something was not removed, in the words for the user.
    """

    records_run = False
    needs_tasks = False  # results outlive the tasks that they are of

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=[SHOW, REMOVE])
        self.progress = RunProgress(enabled=False)  # it would draw over the question
        self.kinds = list(dict.fromkeys(str(kind) for kind in as_list(cfg.mode.kinds)))
        self.holdings: list[Holding] = []
        self.runs: list[RunInfo] = []
        self.agreed = bool(cfg.mode.yes)
        self.removed = Measured(0, 0)
        self.stays: list[str] = []

    def create_routine(self) -> None:
        """Plan to look, to ask, and to remove, one step per kind.

        Raises:
            UnknownNameError: a kind or task that is not known; names the nearest ones.
            MMLMisconfigurationException: nobody is there to be asked; says how to do without.
        """
        self._check()
        self.add_step(self.look)
        if SHOW in self.subroutines:
            self.add_step(self.show_holdings)
        if self.kinds and REMOVE in self.subroutines:
            self.add_step(self.ask)
            for kind in self.kinds:
                self.add_step(self.remove_kind, kind)

    def look(self) -> None:
        """Find all that could be removed."""
        self.runs = project_runs(self.fm.proj_path)
        self.holdings = [found for found in self._find() if self._wants(found.tasks)]
        needed = self._needed()
        self.holdings = [found for found in self.holdings if found.path.exists() or not needed(found)]

    def show_holdings(self) -> None:
        """Print what there is of each kind."""
        rows = [row for kind in self._all_kinds() if (row := count_kind(kind, self.holdings)).files or row.leftovers]
        if not rows:
            show(f"There is nothing to clean in {self.fm.proj_path}, nor in {self.fm.data_path}.")
            return
        show(
            as_table(
                f"Project {self.fm.proj_path.name} in {self.fm.proj_path}, data in {self.fm.data_path}", _COLUMNS, rows
            )
        )
        if running := [run.name for run in self.runs if run.state == RUNNING]:
            show(f"What belongs to running runs is not counted, and stays: {list_text(running)}.")
        if not self.kinds:
            show(f"Nothing was removed. To remove, name kinds: mml clean {self._given()}mode.kinds=[<kind>,<kind>]")

    def ask(self) -> None:
        """Say what the removal means, and ask whether it shall be."""
        chosen = self._chosen()
        if not chosen:
            self.agreed = False
            show(f"There is nothing of kind {list_text(self.kinds, most=20)}.")
            return
        for warning in warnings(chosen, self._models_that_stay(chosen), self.runs):
            show(f"Note: {warning}")
        if not self.agreed:
            self.agreed = answered_yes(f"Remove {_amount_text(chosen)}? [y/N] ")
        if not self.agreed:
            show("Nothing was removed.")

    def remove_kind(self, kind: str) -> None:
        """Remove what there is of a kind, if that was agreed."""
        if not self.agreed:
            return
        needed = self._needed()
        running = {folder.name for folder in run_folders(self.fm.proj_path) if is_held(folder)}
        for holding in self.holdings:
            if holding.kind == kind and holding.owner not in running:
                self._remove(holding, keep_claim=needed(holding))

    def before_finishing_hook(self) -> None:
        """Tell what was removed, and what could not be.

        Raises:
            MMLError: something could not be removed.
        """
        if self.removed.files or self.agreed:
            show(f"Removed {count_text(self.removed.files, 'file')}, {size_text(self.removed.size)}.")
        if self.stays:
            msg = f"{count_text(len(self.stays), 'thing')} could not be removed:\n" + "\n".join(self.stays)
            raise MMLError(msg)

    def _remove(self, holding: Holding, *, keep_claim: bool) -> None:
        measured = measure(holding.path)
        data = holding.kind in (CREATIONS, holdings.CACHE)
        try:
            remove_holding(holding, self.fm.data_path if data else self.fm.proj_path, keep_claim=keep_claim)
        except MMLError as error:
            self.stays.append(str(error))
        except OSError as error:
            self.stays.append(f"{holding.path}: {error.strerror}.")
        else:
            self.removed = Measured(self.removed.files + measured.files, self.removed.size + measured.size)

    def _find(self) -> Iterator[Holding]:
        yield from holdings.project_holdings(self.fm.templates(), self.fm.proj_path, self.runs)
        yield from holdings.creation_holdings(self.fm.task_index.folder)
        busy = holdings.running_tasks(self.fm.results_root)
        yield from (cache for cache in holdings.cache_holdings(self.fm.data_path) if busy.isdisjoint(cache.tasks))

    def _chosen(self) -> list[Holding]:
        return [holding for holding in self.holdings if holding.kind in self.kinds]

    def _models_that_stay(self, chosen: Iterable[Holding]) -> list[ModelStorage]:
        removed = {holding.path for holding in chosen}
        return [model for path, model in self._models() if path not in removed]

    def _models(self) -> Iterator[tuple[Path, ModelStorage]]:
        for found in find_kind_files([self.fm.templates()["models"]], self.fm.proj_path):
            try:
                yield found.path, ModelStorage.from_json(found.path, self.fm.roots)
            except MMLError:
                continue  # a damaged record refers to nothing

    def _needed(self) -> Callable[[Holding], bool]:
        """Return what tells whether something that stays still refers to a file, so that its number must stay taken."""
        chosen = self._chosen()
        referred = {path for model in self._models_that_stay(chosen) for path in files_of(model)}
        owners = _continuable_names(self.runs) - {found.owner for found in chosen if found.kind in RUN_KINDS.values()}
        return lambda holding: holding.path in referred or holding.owner in owners

    def _wants(self, tasks: tuple[str, ...]) -> bool:
        return not self.task_list or (bool(tasks) and set(tasks) <= set(self.task_list))

    def _all_kinds(self) -> list[str]:
        return holdings.all_kinds(self.fm.templates())

    def _given(self) -> str:
        project, tasks = self.fm.proj_path.name, ",".join(self.task_list)
        shown = f"task=[{tasks}]" if len(self.task_list) > 1 else f"task={tasks}"
        return (f"{shown} " if tasks else "") + (f"proj={project} " if project != "default" else "")

    def _check(self) -> None:
        """Refuse names that are not known, and a question that nobody could answer."""
        for kind in self.kinds:
            if kind not in self._all_kinds():
                raise UnknownNameError(kind, kind="kind in mode.kinds", known=self._all_kinds())
        if missing := [name for name in self.task_list if not self.fm.task_index.has(name)]:
            self.runs = project_runs(self.fm.proj_path)
            known = {*self.fm.task_index.names(), *(task for found in self._find() for task in found.tasks)}
            for name in set(missing) - known:
                raise UnknownNameError(name, kind="task", known=known)
        if self.kinds and not self.agreed and REMOVE in self.subroutines and not can_answer():
            msg = (
                f"mode.kinds=[{','.join(self.kinds)}] would be removed after a question, and nobody is there to answer "
                "it. Nothing was removed. Add mode.yes=true to remove without a question."
            )
            raise MMLMisconfigurationException(msg)


def count_kind(kind: str, found: Iterable[Holding]) -> KindRow:
    """Sum up what there is of one kind."""
    chosen = [holding for holding in found if holding.kind == kind]
    measured = [measure(holding.path) for holding in chosen if not holding.leftover]
    leftovers = sum(holding.leftover for holding in chosen)
    return KindRow(kind, sum(m.files for m in measured), sum(m.size for m in measured), leftovers)


def files_of(model: ModelStorage) -> list[Path]:
    """Return the files that the record of a model refers to."""
    files = [model.parameters, model.pipeline, *model.predictions.values()]
    return [path for path in files if path is not None]


def warnings(chosen: list[Holding], models: list[ModelStorage], runs: list[RunInfo]) -> list[str]:
    """Return what whoever removes something should know before.

    Args:
        chosen: what is to be removed.
        models: records of models that stay.
        runs: all runs of the project.
    """
    paths = {holding.path for holding in chosen}
    lines = []
    if broken := [model for model in models if not paths.isdisjoint(files_of(model))]:
        number = count_text(len(broken), "model")
        lines.append(
            f"the records of {number} refer to these files, and stay. Add models to mode.kinds to remove them."
        )
    owners = {holding.owner for holding in chosen} & _continuable_names(runs)
    if owners:
        listed = list_text(sorted(str(owner) for owner in owners))
        lines.append(f"these runs are not finished, and can't be continued when this is gone: {listed}.")
    return lines


def _continuable_names(runs: Iterable[RunInfo]) -> set[str | None]:
    return {run.name for run in runs if run.state in CONTINUABLE}


def _amount_text(chosen: list[Holding]) -> str:
    """Return how much is to be removed, in total and by kind."""
    measured = [measure(holding.path) for holding in chosen]
    total = f"{count_text(sum(m.files for m in measured), 'file')}, {size_text(sum(m.size for m in measured))}"
    kinds = list(dict.fromkeys(holding.kind for holding in chosen))
    return f"{total} ({list_text(kinds, most=20)})"


_COLUMNS = [
    Column("kind", lambda row: row.kind),
    Column("files", lambda row: str(row.files), number=True),
    Column("size", lambda row: size_text(row.size), number=True),
    Column("left by killed runs", lambda row: str(row.leftovers or ""), number=True),
]
