"""Seeding: the same step draws the same random numbers, whatever ran before it in the process."""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Modules with a global generator of their own. None is imported for this: a schedule that uses one does so.
_LIBRARIES = ("numpy.random", "torch")


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and, where they are loaded, of NumPy and torch (CPU and GPUs).

    Args:
        seed: 32 bits, as NumPy wants it.
    """
    random.seed(seed)
    if "numpy" in sys.modules:
        import_module("numpy.random")  # NumPy itself loads it when it is first used
    for name in _LIBRARIES:
        if name in sys.modules:
            _seed(name, seed)
    for finder in sys.meta_path:
        if isinstance(finder, _ImportWatch):
            finder.seed = seed


@contextmanager
def imports_kept_apart() -> Iterator[None]:
    """Keep imports out of the random numbers while the block runs.

    A step may be the first to import a library, or not, depending on where its run was continued. So a library that is
    imported is seeded as if it had been there at the last `seed_everything`, and numbers that modules draw while they
    are imported (Lightning does) change nothing for those who draw later.
    """
    watch = _ImportWatch()
    sys.meta_path.insert(0, watch)
    try:
        yield
    finally:
        sys.meta_path.remove(watch)


class _ImportWatch(MetaPathFinder):
    """Finds nothing itself: it lets the other finders do so, and wraps what an outermost import executes."""

    seed: int | None = None
    _importing = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._importing:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        loader: Any = spec.loader if spec else None
        if hasattr(loader, "exec_module") and not isinstance(loader, type):
            loader.exec_module = self._wrapped(loader, loader.exec_module)
        return spec

    def _wrapped(self, loader: Any, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)  # once; the class has it
            states = {name: _state(name) for name in ("random", *_LIBRARIES) if _is_ready(name)}
            self._importing = True
            try:
                execute(module)
                self._seed_new(states)
            finally:
                self._importing = False
                for name, state in states.items():
                    _restore(name, state)

        return exec_module

    def _seed_new(self, states: dict[str, Any]) -> None:
        for name in _LIBRARIES:
            if name in sys.modules and name not in states and self.seed is not None:
                _seed(name, self.seed)


def _is_ready(name: str) -> bool:
    """Tell whether a module is imported, and not just being so."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _seed(name: str, seed: int) -> None:
    module = sys.modules[name]
    if name == "torch":
        # `torch.manual_seed` takes note of a seed for every kind of device, 100 us, whether or not there is one.
        (module.manual_seed if _has_accelerator() else module.default_generator.manual_seed)(seed)
    else:
        module.seed(seed)


def _state(name: str) -> Any:
    module = sys.modules[name]
    if name == "torch":
        return module.default_generator.get_state()
    return module.getstate() if name == "random" else module.get_state(legacy=False)


def _restore(name: str, state: Any) -> None:
    module = sys.modules[name]
    if name == "torch":
        module.default_generator.set_state(state)
    else:
        (module.setstate if name == "random" else module.set_state)(state)


@cache
def _has_accelerator() -> bool:
    torch = sys.modules["torch"]
    return bool(torch.accelerator.is_available())
