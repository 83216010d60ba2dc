"""Splitting samples: a test split kept apart, and folds; stratified and seeded.

The order behind every choice is a digest of (seed, sample id): it is the same on every machine and does not depend on
the order in which samples were found.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.options import FEWEST_FOLDS, CreateOptions
from mml.core.data_preparation.samples import Sample
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import count_text, list_text


class Splits(NamedTuple):
    """Where every labelled sample belongs.

    Attributes:
        folds: disjoint lists of ids, all training samples together.
        test: ids of the samples kept apart.
        notes: what the user should know.
    """

    folds: list[list[str]]
    test: frozenset[str]
    notes: list[str]


def make_splits(samples: Sequence[Sample], options: CreateOptions) -> Splits:
    """Split labelled samples as their source says, and where it says nothing as the options say.

    A test split of the source is kept, otherwise a share of the training samples is held out. Folds of the source are
    kept; validation samples of the source are the first fold, and the rest is dealt to the others.

    Raises:
        TaskDataError: there are too few samples for the folds.
    """
    test = frozenset(sample.sample_id for sample in samples if sample.split is DataSplit.TEST)
    train = [sample for sample in samples if sample.split in (DataSplit.TRAIN, DataSplit.VAL)]
    if not test and options.test_fraction:
        candidates = [sample for sample in train if sample.split is DataSplit.TRAIN]
        test = frozenset(hold_out(_by_class(candidates), options.test_fraction, options.seed))
        train = [sample for sample in train if sample.sample_id not in test]
    _refuse_partial_folds(train)
    folds = _make_folds(train, options)
    if not all(folds) or len(folds) < FEWEST_FOLDS:
        msg = (
            f"{count_text(len(train), 'training sample')} can't fill {len(folds)} folds ({len(test)} are kept apart as "
            "test split). Add images, or choose fewer folds with mode.folds, or a smaller mode.test_fraction."
        )
        raise TaskDataError(msg)
    return Splits(folds, test, _notes_on_rare_classes(train, len(folds)))


def _make_folds(train: Sequence[Sample], options: CreateOptions) -> list[list[str]]:
    """Return the folds, each in the order of the samples."""
    if any(sample.fold is not None for sample in train):
        numbers = range(max(sample.fold or 0 for sample in train) + 1)
        return [[sample.sample_id for sample in train if sample.fold == number] for number in numbers]
    val = [sample.sample_id for sample in train if sample.split is DataSplit.VAL]
    rest = [sample for sample in train if sample.split is DataSplit.TRAIN]
    dealt = deal_folds(_by_class(rest), options.folds - bool(val), options.seed)
    order = {sample.sample_id: place for place, sample in enumerate(train)}
    return [val] * bool(val) + [sorted(fold, key=order.__getitem__) for fold in dealt]


def _refuse_partial_folds(train: Sequence[Sample]) -> None:
    """Make sure that a source puts either every training sample into a fold or none."""
    missing = [sample.sample_id for sample in train if sample.fold is None]
    if missing and len(missing) < len(train):
        msg = f"{count_text(len(missing), 'training sample')} are in no fold, others are ({list_text(missing, 10)})."
        raise TaskDataError(msg)


def _by_class(samples: Iterable[Sample]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for sample in samples:
        ids.setdefault(sample.label, []).append(sample.sample_id)
    return ids


def _notes_on_rare_classes(train: Sequence[Sample], folds: int) -> list[str]:
    rare = {name: len(ids) for name, ids in _by_class(train).items() if len(ids) < folds}
    if not rare:
        return []
    shown = list_text((f"{name}: {count}" for name, count in sorted(rare.items())), most=10)
    return [f"Classes with fewer training samples than the {folds} folds are missing in some folds ({shown})."]


def shuffled(ids: Sequence[str], seed: int) -> list[str]:
    """Return the ids in an order that depends on nothing but the seed and the ids."""
    return sorted(ids, key=lambda sample_id: hashlib.blake2b(f"{seed}:{sample_id}".encode(), digest_size=8).digest())


def hold_out(ids_by_class: Mapping[str, Sequence[str]], fraction: float, seed: int) -> set[str]:
    """Choose samples for a test split.

    Every class gives its share, rounded such that the whole comes to the fraction as well, and keeps at least one.

    Args:
        ids_by_class: class name -> ids of its samples.
        fraction: share of the samples to choose, in [0, 1).
        seed: of the choice.
    """
    shares = {name: len(ids) * fraction for name, ids in ids_by_class.items()}
    counts = {name: int(share) for name, share in shares.items()}
    missing = round(sum(shares.values())) - sum(counts.values())
    for name in sorted(shares, key=lambda name: (counts[name] - shares[name], name)):
        if missing > 0 and counts[name] + 1 < len(ids_by_class[name]):
            counts[name] += 1
            missing -= 1
    return {sample_id for name, ids in ids_by_class.items() for sample_id in shuffled(ids, seed)[: counts[name]]}


def deal_folds(ids_by_class: Mapping[str, Sequence[str]], folds: int, seed: int) -> list[list[str]]:
    """Deal samples to folds, so that sizes, and the counts of every class, differ by one at most.

    Args:
        ids_by_class: class name -> ids of its samples.
        folds: number of folds.
        seed: of the order in which samples are dealt.

    Returns:
        The ids per fold.
    """
    dealt = [sample_id for name in sorted(ids_by_class) for sample_id in shuffled(ids_by_class[name], seed)]
    return [dealt[start::folds] for start in range(folds)]
