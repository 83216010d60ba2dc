"""Engines of runners are extras of mml: who chooses one that is not there is told the command that installs it."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from mml.core.scripts.exceptions import MMLMisconfigurationException


def require(module: str, extra: str) -> ModuleType:
    """Import the library of a runner.

    Args:
        module: name of the library's module, e.g. `"submitit"`.
        extra: name of the extra of mml-core that installs it; that of the runner, too.

    Returns:
        The module.

    Raises:
        MMLMisconfigurationException: it is not installed, or it can't be imported; says the command that helps.
    """
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise _broken(module, extra, error) from error
        raise _missing(module, extra) from error
    except Exception as error:
        raise _broken(module, extra, error) from error
    if getattr(found, "__file__", None) is None:  # a mere folder of that name in the working directory
        raise _missing(module, extra)
    return found


def refuse_missing(module: str, extra: str) -> None:
    """Make sure that the library of a runner is installed, without importing it.

    Args:
        module: name of the library's module.
        extra: name of the extra of mml-core that installs it; that of the runner, too.

    Raises:
        MMLMisconfigurationException: it is not; says the command that helps.
    """
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # whoever finds modules here refuses this one
        spec = None
    if spec is None or spec.origin is None:
        raise _missing(module, extra)


def _missing(module: str, extra: str) -> MMLMisconfigurationException:
    msg = f"runner={extra} needs {module}, which is not installed: pip install 'mml-core[{extra}]'"
    return MMLMisconfigurationException(msg)


def _broken(module: str, extra: str, error: Exception) -> MMLMisconfigurationException:
    msg = (
        f"runner={extra} needs {module}, which is installed but can't be imported ({type(error).__name__}: {error}): "
        f"pip install --force-reinstall 'mml-core[{extra}]'"
    )
    return MMLMisconfigurationException(msg)
