import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from mml.core.data_loading.samplers import (
    BatchIndex,
    EpochBatchSampler,
    EpochSampler,
    PositionedLoader,
    batch_rng,
    class_weights,
    task_seed,
)


def test_every_sample_comes_once_per_epoch() -> None:
    assert sorted(EpochSampler(100, seed=1)) == list(range(100))


def test_equal_seeds_and_epochs_give_equal_orders_and_others_do_not() -> None:
    first, second, other = EpochSampler(50, seed=1), EpochSampler(50, seed=1), EpochSampler(50, seed=2)
    for sampler in (first, second, other):
        sampler.set_epoch(3)
    order = list(first)
    assert order == list(second)
    assert order != list(other)
    second.set_epoch(4)
    assert order != list(second)


def test_an_epoch_does_not_depend_on_those_before_it() -> None:
    through, direct = EpochSampler(50, seed=1), EpochSampler(50, seed=1)
    for epoch in range(4):
        through.set_epoch(epoch)
        order = list(through)
    direct.set_epoch(3)
    assert order == list(direct)


def test_a_second_pass_in_one_epoch_has_another_order() -> None:
    sampler = EpochSampler(50, seed=1)
    assert list(sampler) != list(sampler)


def test_a_pass_that_was_broken_off_starts_anew() -> None:
    sampler = EpochSampler(50, seed=1)
    begun = iter(sampler)
    first = next(begun)
    assert next(iter(sampler)) == first


@pytest.mark.parametrize("number", [7, 50, 120])
def test_the_number_of_samples_per_epoch_can_be_set(number: int) -> None:
    sampler = EpochSampler(50, seed=1, sample_num=number)
    order = list(sampler)
    assert len(order) == len(sampler) == number
    assert max(np.bincount(order, minlength=50)) - min(np.bincount(order, minlength=50)) <= 1


def test_weights_draw_rare_classes_as_often_as_common_ones() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    sampler = EpochSampler(1000, seed=1, weights=class_weights(labels), sample_num=30_000)
    shares = np.bincount(labels[list(sampler)]) / 30_000
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)


def test_weighted_draws_are_reproducible() -> None:
    weights = class_weights(np.array([0, 0, 0, 1]))
    assert list(EpochSampler(4, seed=1, weights=weights)) == list(EpochSampler(4, seed=1, weights=weights))


def test_an_epoch_goes_on_in_its_middle() -> None:
    whole, rest = EpochSampler(50, seed=1), EpochSampler(50, seed=1)
    whole.set_epoch(2)
    rest.begin_at(2, passes=0, start=20)
    rest.set_epoch(2)
    assert list(rest) == list(whole)[20:]
    assert list(rest) == list(whole)  # the next pass is a whole one


def test_another_epoch_starts_at_its_beginning() -> None:
    sampler = EpochSampler(50, seed=1)
    sampler.begin_at(2, passes=0, start=20)
    sampler.set_epoch(3)
    assert len(list(sampler)) == 50
    sampler.set_epoch(3)
    assert sampler.passes == 0


def test_batches_carry_a_key_of_their_own() -> None:
    batches = list(EpochBatchSampler(EpochSampler(10, seed=5), 4, drop_last=False))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert len({batch.key for batch in batches if isinstance(batch, BatchIndex)}) == 3


def test_the_last_batch_is_left_out_when_asked() -> None:
    sampler = EpochBatchSampler(EpochSampler(10, seed=5), 4, drop_last=True)
    assert [len(batch) for batch in sampler] == [4, 4]
    assert len(sampler) == 2


def test_batches_after_a_resume_have_the_keys_they_would_have_had() -> None:
    whole = list(EpochBatchSampler(EpochSampler(10, seed=5), 4, drop_last=False))
    sampler = EpochSampler(10, seed=5)
    sampler.begin_at(0, passes=0, start=4)
    rest = list(EpochBatchSampler(sampler, 4, drop_last=False))
    assert rest == whole[1:]
    assert [batch.key for batch in rest] == [batch.key for batch in whole[1:]]  # type: ignore[attr-defined]


class Positions(Dataset[list[int]]):
    """Gives the positions it is asked for."""

    def __getitems__(self, positions: list[int]) -> list[int]:
        return list(positions)

    def __getitem__(self, position: int) -> list[int]:
        raise NotImplementedError

    def __len__(self) -> int:
        return 22


def make_loader(workers: int = 0, drop_last: bool = False) -> PositionedLoader:
    batches = EpochBatchSampler(EpochSampler(22, seed=5), 4, drop_last=drop_last)
    # A worker that leaves no room for waiting is far ahead of what was handed out.
    return PositionedLoader(Positions(), batch_sampler=batches, collate_fn=list, num_workers=workers)


def epochs_of(loader: PositionedLoader, first: int, last: int) -> list[list[list[int]]]:
    found = []
    for epoch in range(first, last):
        loader.batch_sampler.sampler.set_epoch(epoch)
        found.append(list(loader))
    return found


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("taken", range(7))
def test_a_loader_goes_on_behind_the_batches_it_handed_out(taken: int, drop_last: bool) -> None:
    whole = epochs_of(make_loader(drop_last=drop_last), 0, 4)
    taken = min(taken, len(whole[2]))
    stopped = make_loader(drop_last=drop_last)
    epochs_of(stopped, 0, 2)
    stopped.batch_sampler.sampler.set_epoch(2)
    batches = iter(stopped)
    assert [next(batches) for _ in range(taken)] == whole[2][:taken]
    state = stopped.state_dict()
    assert state == ({"epoch": 2, "batches": taken} if taken else {"epoch": 1, "batches": len(whole[1])})
    if taken:
        other = make_loader(drop_last=drop_last)
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert epochs_of(other, 2, 4) == [whole[2][taken:], whole[3]]


def test_what_workers_loaded_ahead_does_not_count() -> None:
    whole = epochs_of(make_loader(), 0, 1)[0]
    ahead = make_loader(workers=1)
    batches = iter(ahead)
    assert [next(batches), next(batches)] == whole[:2]
    other = make_loader(workers=1)
    other.load_state_dict(ahead.state_dict())
    assert len(batches) == len(whole)
    assert list(other) == whole[2:]


def test_a_short_loader_that_started_over_goes_on_in_that_pass() -> None:
    loader = make_loader()
    passes = [list(loader), list(loader), list(loader)]
    other = make_loader()
    other.load_state_dict({"epoch": 0, "batches": 8})
    assert [list(other), list(other)] == [passes[1][2:], passes[2]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_that_was_started_without_being_used_begins_at_the_beginning(workers: int) -> None:
    loader, expected = make_loader(workers), epochs_of(make_loader(), 0, 1)[0]
    started = iter(loader)
    loader.batch_sampler.sampler.set_epoch(0)
    assert list(loader) == expected
    del started


def test_a_batch_keeps_its_key_on_the_way_to_a_worker() -> None:
    batch = BatchIndex([3, 1], (1, 2, 3))
    copy = pickle.loads(pickle.dumps(batch))
    assert (copy, copy.key) == ([3, 1], (1, 2, 3))


def test_the_randomness_of_a_batch_follows_from_its_key() -> None:
    one, same, other = (batch_rng(BatchIndex([0], key)).random() for key in [(1, 2, 3), (1, 2, 3), (1, 2, 4)])
    assert one == same != other


def test_the_randomness_of_a_batch_asked_for_by_hand_follows_torch() -> None:
    torch.manual_seed(1)
    first = batch_rng([0]).random()
    assert batch_rng([0]).random() != first
    torch.manual_seed(1)
    assert batch_rng([0]).random() == first


def test_tasks_have_seeds_of_their_own() -> None:
    assert len({task_seed(1, "a"), task_seed(1, "b"), task_seed(2, "a")}) == 3


WORKER = """
import signal, sys
from mml.core.data_loading.samplers import ignore_interrupts
signal.signal(signal.SIGTERM, lambda *_: sys.exit(77))
ignore_interrupts(0)
for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR1", "SIGTERM"):
    signal.raise_signal(getattr(signal, name))
print("still here", flush=True)
signal.raise_signal(signal.SIGTERM)
print("never here")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_worker_leaves_signals_to_its_parent_and_ends_quietly_when_terminated_twice() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("still here\n", 0), done.stderr
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
