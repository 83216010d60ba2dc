"""The promises of every scheduler as tests: `SchedulerContract`, to be subclassed by authors of plugins."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from mml.config_loading import compose
from mml.core.data_loading.claims import CLAIMS_FOLDER
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_struct import state_of
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import ContinueError, UnknownNameError
from mml.core.scripts.run_folder import RUNS_FOLDER
from mml.core.scripts.runs import run_folders
from mml.core.scripts.schedule import restore_step
from mml.runners.base import Work
from mml.runners.serial import SerialRunner


class Crash(BaseException):
    """Stands for a process that dies; no scheduler may catch it."""


class CrashingRunner(SerialRunner):
    """Runs steps in this process, and dies at one of them as a killed process would.

    Args:
        position: of the step to die at, from 0.
        after: die when the step has done its work, but nobody has recorded it; else before it begins.
    """

    def __init__(self, position: int, after: bool) -> None:
        super().__init__()
        self.position = position
        self.after = after

    def submit(self, work: Work) -> None:
        """Run a step, or die.

        Raises:
            Crash: at the step to die at.
        """
        if work.step != self.position:
            return super().submit(work)
        if self.after:
            super().submit(work)
        raise Crash


class SchedulerContract:
    """The promises of a scheduler, as tests.

    Subclass it in a test module, name the scheduler's mode in `overrides`, and make the tasks that it needs in
    `prepare`:

        class TestBrightness(SchedulerContract):
            overrides = ("mode=brightness", "task=digits")

            def prepare(self, data_dir):
                run_create_mode(data_dir)

    Attributes:
        overrides: of the command line that starts the scheduler; keep the work small, it is done about twice per step.
        volatile: patterns, relative to the project's folder, of files whose bytes differ from run to run, e.g. because
            they hold a time. They have to exist, but their content is not compared.
    """

    overrides: ClassVar[tuple[str, ...]] = ()
    volatile: ClassVar[tuple[str, ...]] = ()

    def prepare(self, data_dir: Path) -> None:
        """Create the tasks that the scheduler needs, below `data_dir`. For a subclass to override."""

    @pytest.fixture(scope="class")
    @classmethod
    def data_dir(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return a data folder with what `prepare` made."""
        folder = tmp_path_factory.mktemp("data")
        cls().prepare(folder)
        return folder

    def config(self, data_dir: Path, out_dir: Path, **changes: Any) -> DictConfig:
        """Return the config of `overrides`, with folders for a test and keys changed by their dotted names."""
        cfg = compose([*self.overrides, f"data_dir={data_dir}", f"out_dir={out_dir}", "logging.progress=false"])
        with open_dict(cfg):
            for key, value in changes.items():
                OmegaConf.update(cfg, key, value, force_add=True)
        return cfg

    def make(self, cfg: DictConfig) -> AbstractBaseScheduler:
        """Return the scheduler that a config names."""
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            scheduler: AbstractBaseScheduler = instantiate(cfg.mode.scheduler, cfg=cfg, _recursive_=False)
        except InstantiationException as error:  # the error that the scheduler raised is what users get to see
            raise error.__cause__ or error from error
        return scheduler

    def test_plan_has_steps_and_makes_no_file(self, data_dir: Path, tmp_path: Path) -> None:
        """Planning is not working: it leaves the project's folder as it is."""
        steps = self.make(self.config(data_dir, tmp_path / "out")).plan()
        assert steps, f"no step was planned for {self.overrides}"
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

    def test_plan_is_the_same_each_time(self, data_dir: Path, tmp_path: Path) -> None:
        """A continued run plans anew and has to find the recorded plan."""
        cfg = self.config(data_dir, tmp_path / "out")
        scheduler = self.make(cfg)
        first = [step.record for step in scheduler.plan()]
        assert [step.record for step in scheduler.plan()] == first
        assert [step.record for step in self.make(cfg).plan()] == first

    def test_params_survive_the_journal(self, data_dir: Path, tmp_path: Path) -> None:
        """What a command is called with after a restart equals what it was planned with."""
        scheduler = self.make(self.config(data_dir, tmp_path / "out"))
        for step in scheduler.plan():
            assert restore_step(step.position, step.record, scheduler.fm.roots) == step

    def test_unknown_subroutine_is_refused(self, data_dir: Path, tmp_path: Path) -> None:
        """A typing error in `mode.subroutines` is named before any work."""
        cfg = self.config(data_dir, tmp_path / "out", **{"mode.subroutines": ["no_such_subroutine"]})
        with pytest.raises(UnknownNameError, match="no_such_subroutine"):
            self.make(cfg)

    @pytest.mark.parametrize("after", [False, True], ids=["before the work", "after the work"])
    def test_killed_at_any_step_it_continues_to_the_same_result(
        self, data_dir: Path, tmp_path: Path, after: bool
    ) -> None:
        """Wherever a run is killed, the continued run ends with the files and the value of an uninterrupted one."""
        whole = self.make(self.config(data_dir, tmp_path / "whole"))
        whole.run()
        expected = self._outcome(whole)
        for position in range(len(whole.commands)):
            out_dir = tmp_path / f"killed_at_{position}"
            assert self._outcome(self._killed_and_continued(data_dir, out_dir, position, after)) == expected, (
                f"killed {'after the work of' if after else 'before'} step {position + 1}, {whole.commands[position]}"
            )
            shutil.rmtree(out_dir)

    def test_finished_run_is_not_continued(self, data_dir: Path, tmp_path: Path) -> None:
        """There is nothing to continue in a finished run, and it stays as it is."""
        self.make(self.config(data_dir, tmp_path)).run()
        folder = self._run_folder(tmp_path)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(ContinueError, match="finished"):
            self.make(self.config(data_dir, tmp_path, **{"continue": folder.name})).run()
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    def test_clean_up_removes_files_of_this_run_alone(self, data_dir: Path, tmp_path: Path) -> None:
        """After a run with every kind of file to be cleaned up, only those of an earlier run are left."""
        earlier = self.make(self.config(data_dir, tmp_path))
        earlier.run()
        kept = self._files(earlier.fm.proj_path)
        kept_kinds = [key for key, kind in MMLFileManager.templates().items() if not kind.temporary]
        later = self.make(self.config(data_dir, tmp_path, **{f"reuse.clean_up.{key}": True for key in kept_kinds}))
        later.run()
        assert self._files(later.fm.proj_path) == kept
        assert not later.fm.temp_path.exists()

    def _killed_and_continued(self, data_dir: Path, out_dir: Path, position: int, after: bool) -> AbstractBaseScheduler:
        runner = {"_target_": "mml.testing.CrashingRunner", "position": position, "after": after}
        with pytest.raises(Crash):
            self.make(self.config(data_dir, out_dir, runner=runner)).run()
        scheduler = self.make(self.config(data_dir, out_dir, **{"continue": self._run_folder(out_dir).name}))
        scheduler.run()
        return scheduler

    def _run_folder(self, out_dir: Path) -> Path:
        (project,) = (path for path in out_dir.iterdir() if path.is_dir())
        return run_folders(project)[-1]

    def _outcome(self, scheduler: AbstractBaseScheduler) -> tuple[Any, dict[str, Any], dict[str, bytes | None]]:
        """Return what has to be equal: the return value, the task structs' paths, and the files."""
        structs = {name: scheduler.get_struct(name) for name in self._tasks(scheduler)}
        paths = {name: state_of(struct, scheduler.fm.roots).paths for name, struct in structs.items()}
        return scheduler.return_value, paths, self._files(scheduler.fm.proj_path)

    def _tasks(self, scheduler: AbstractBaseScheduler) -> list[str]:
        return [name for name in scheduler.task_list if scheduler.fm.task_index.has(name)]

    def _files(self, proj_path: Path) -> dict[str, bytes | None]:
        """Return relative path -> content, None for that of volatile files, of all files outside of the run folders."""
        files = {path.relative_to(proj_path): path for path in sorted(proj_path.rglob("*")) if path.is_file()}
        return {
            str(name): None if any(fnmatch(str(name), pattern) for pattern in self.volatile) else path.read_bytes()
            for name, path in files.items()
            if name.parts[0] != RUNS_FOLDER and CLAIMS_FOLDER not in name.parts
        }
