"""Seeding: the same step draws the same random numbers, whatever ran before it in the process."""

import random
import sys
from functools import cache


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python and, where they are loaded, of NumPy and torch (CPU and GPUs).

    Args:
        seed: 32 bits, as NumPy wants it.
    """
    random.seed(seed)
    # Neither is imported for this: a schedule that uses them has done so.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        # `torch.manual_seed` takes note of a seed for every kind of device, 100 us, whether or not there is one.
        seed_torch = torch.manual_seed if _has_accelerator() else torch.default_generator.manual_seed
        seed_torch(seed)


@cache
def _has_accelerator() -> bool:
    torch = sys.modules["torch"]
    return bool(torch.accelerator.is_available())
