"""What the group `sampling` of the configuration says, checked before any work is done."""

from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.machine import step_cores

CACHE_CHOICES = ("auto", "always", "never")


class SamplingOptions(NamedTuple):
    """How samples become batches.

    Attributes:
        batch_size: samples per training batch.
        eval_batch_size: samples per batch without training; None for the same.
        num_workers: processes that prepare batches; None to decide by the work there is.
        cache: `"auto"`, `"always"` or `"never"`.
        cache_limit: gigabytes of decoded images that `"auto"` keeps.
        drop_last: leave out the last training batch when it is not full.
        balanced: draw all classes equally often.
        sample_num: training samples per epoch; None for all.
    """

    batch_size: int = 64
    eval_batch_size: int | None = None
    num_workers: int | None = None
    cache: str = "auto"
    cache_limit: float = 2.0
    drop_last: bool = False
    balanced: bool = False
    sample_num: int | None = None


def read_sampling(cfg: DictConfig) -> SamplingOptions:
    """Return the options of `sampling`; what is missing has its default.

    Raises:
        UnknownNameError: an unknown key, or way to cache.
        MMLMisconfigurationException: a number that can't be used.
    """
    given: dict[str, Any] = dict(cfg.get("sampling") or {})
    for key in given:
        if key not in SamplingOptions._fields:
            raise UnknownNameError(str(key), kind="key of sampling", known=SamplingOptions._fields)
    options = SamplingOptions(**given)
    if options.cache not in CACHE_CHOICES:
        raise UnknownNameError(str(options.cache), kind="value of sampling.cache", known=CACHE_CHOICES)
    for key, least, optional in (
        ("batch_size", 1, False),
        ("eval_batch_size", 1, True),
        ("num_workers", 0, True),
        ("sample_num", 1, True),
    ):
        _check_number(key, getattr(options, key), least, optional)
    return options


def _check_number(key: str, value: Any, least: int, optional: bool) -> None:
    if (value is None and optional) or (type(value) is int and value >= least):
        return
    choices = f"a whole number from {least} on" + (", or null" if optional else "")
    msg = f"sampling.{key}={value} can't be used: give {choices}."
    raise MMLMisconfigurationException(msg)


def available_workers(cfg: DictConfig) -> int:
    """Return how many processes may prepare data: `sys.num_workers`, by default one per core."""
    allowed = OmegaConf.select(cfg, "sys.num_workers")
    return step_cores() if allowed is None else int(allowed)
