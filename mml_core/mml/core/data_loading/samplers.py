"""The order of samples as a pure function of seed, epoch and position, the same for any number of workers."""

import os
import signal
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler

# Keeps the stream of orders apart from that of augmentations.
ORDER_STREAM, AUGMENTATION_STREAM = 0, 1

Key = tuple[int, int, int]


class BatchIndex(list[int]):
    """The positions of a batch's samples, and the key that its randomness is derived from.

    Attributes:
        key: seed, round, number of the batch in it.
    """

    def __init__(self, positions: Iterable[int], key: Key) -> None:
        super().__init__(positions)
        self.key = key

    def __reduce__(self) -> tuple[type["BatchIndex"], tuple[list[int], Key]]:
        return BatchIndex, (list(self), self.key)


class EpochSampler(Sampler[int]):
    """Shuffles anew in every epoch.

    Lightning calls `set_epoch` before every epoch. Where nobody does, every complete pass counts as one.

    Args:
        length: number of samples.
        seed: equal seeds give equal orders.
        weights: of the samples; they are then drawn with replacement, each as often as its weight says on average.
        sample_num: samples per epoch, all by default.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        weights: npt.NDArray[np.float64] | None = None,
        sample_num: int | None = None,
    ) -> None:
        self.length, self.seed = length, seed
        self.weights = None if weights is None else weights / weights.sum()
        self.sample_num = length if sample_num is None else sample_num
        self.epoch = 0
        self.passes = 0
        self.start = 0
        self._loaded = False

    def __len__(self) -> int:
        return self.sample_num

    @property
    def round(self) -> int:
        """A number of its own for every pass over the samples, also if a short task is passed twice in an epoch."""
        return self.epoch * 1000 + self.passes

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, from 0."""
        if epoch != self.epoch or not self._loaded:
            self.epoch, self.passes, self.start = epoch, 0, 0
        self._loaded = False

    def order(self) -> npt.NDArray[np.int64]:
        """Return the whole order of the present round."""
        rng = np.random.default_rng((self.seed, self.round, ORDER_STREAM))
        if self.weights is not None:
            return rng.choice(self.length, self.sample_num, p=self.weights)
        rounds = -(-self.sample_num // self.length)
        return np.concatenate([rng.permutation(self.length) for _ in range(rounds)])[: self.sample_num]

    def __iter__(self) -> Iterator[int]:
        yield from self.order()[self.start :].tolist()
        self.start = 0
        self.passes += 1

    def begin_at(self, epoch: int, passes: int, start: int) -> None:
        """Let the next pass start in the midst of an epoch, also if `set_epoch` chooses that very epoch after this.

        Args:
            epoch: from 0.
            passes: complete passes in this epoch before.
            start: position of the first sample; for batches, a multiple of the batch size.
        """
        self.epoch, self.passes, self.start = epoch, passes, start
        self._loaded = True


class EpochBatchSampler(BatchSampler):
    """Cuts the order of an `EpochSampler` into batches that carry the key of their randomness."""

    sampler: EpochSampler

    def __init__(self, sampler: EpochSampler, batch_size: int, drop_last: bool) -> None:
        super().__init__(sampler, batch_size, drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        sampler = self.sampler
        key, first = (sampler.seed, sampler.round), sampler.start // self.batch_size
        for number, positions in enumerate(super().__iter__(), start=first):
            yield BatchIndex(positions, (*key, number))


class PositionedLoader(DataLoader[Any]):
    """A loader that knows where it is, also with worker processes that are ahead, and that can begin there.

    Its batches come from an `EpochBatchSampler`.
    """

    batch_sampler: EpochBatchSampler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._position = (0, 0)
        self._loaded = False

    def __iter__(self) -> Any:
        sampler = self.batch_sampler.sampler
        if not self._loaded:
            # Workers are ahead, and a loader may be started without being used: what was handed out alone counts.
            epoch, batches = self._position
            taken = batches if epoch == sampler.epoch else 0
            sampler.begin_at(sampler.epoch, passes=-(-taken // len(self)), start=0)
        self._loaded = False
        return _Counted(super().__iter__(), self._count)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and how many of its batches were handed out."""
        epoch, batches = self._position
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration begin behind the batches that were handed out."""
        epoch, batches = self._position = state["epoch"], state["batches"]
        # Behind the last batch of a pass is its end, not yet the beginning of the next.
        passes, position = divmod(max(batches - 1, 0), len(self))
        done = position + 1 if batches else 0
        sampler = self.batch_sampler.sampler
        start = sampler.sample_num if done == len(self) else done * self.batch_sampler.batch_size
        sampler.begin_at(epoch, passes, start)
        self._loaded = True

    def _count(self) -> None:
        epoch, batches = self._position
        now = self.batch_sampler.sampler.epoch
        self._position = (now, batches + 1 if now == epoch else 1)


class _Counted(Iterator[Any]):
    """The batches of an iterator, each of which is counted."""

    def __init__(self, batches: Iterator[Any], count: Callable[[], None]) -> None:
        self._batches, self._count = batches, count

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type] # that of a loader has a length

    def __next__(self) -> Any:
        batch = next(self._batches)
        self._count()
        return batch


def class_weights(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return a weight per sample that makes all classes equally likely.

    Args:
        labels: class of every sample.
    """
    counts = np.bincount(labels)
    weights: npt.NDArray[np.float64] = 1.0 / counts[labels]
    return weights


def task_seed(seed: int, task: str) -> int:
    """Return the seed of one of several tasks, so that tasks of equal length are not shuffled alike."""
    return seed * 2**32 + zlib.crc32(task.encode())


def batch_rng(positions: Sequence[int], stream: int = 0) -> np.random.Generator:
    """Return the random numbers of a batch.

    Args:
        positions: of the batch; without a key (it was asked for by hand), torch's global generator gives one.
        stream: keeps several consumers apart.
    """
    if isinstance(positions, BatchIndex):
        return np.random.default_rng((*positions.key, AUGMENTATION_STREAM, stream))
    return np.random.default_rng((int(torch.randint(2**31, ())), stream))


def ignore_interrupts(_worker: int) -> None:
    """Let the parent alone decide what a signal to all processes of a run means; a worker process starts with this.

    The parent finishes its batch before it stops, and needs the worker until then. A second SIGTERM, as the parent or
    the end of Python sends it to a worker that hangs, ends the worker as if its work was done.
    """
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, lambda *_: os._exit(0)))
