from collections import Counter
from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.folds import Splits, deal_folds, hold_out, make_splits, shuffled
from mml.core.data_preparation.options import CreateOptions
from mml.core.data_preparation.samples import Sample
from mml.core.scripts.exceptions import TaskDataError


def ids(name: str, count: int) -> list[str]:
    return [f"{name}-{number:03}" for number in range(count)]


def samples(split: DataSplit = DataSplit.TRAIN, **counts: int) -> list[Sample]:
    return [
        Sample(f"{split}-{sample_id}", Path("x.png"), name, split)
        for name, count in counts.items()
        for sample_id in ids(name, count)
    ]


def split(found: list[Sample], **options: object) -> Splits:
    return make_splits(found, CreateOptions(**options))  # type: ignore[arg-type] # any of the options


def trained(splits: Splits) -> list[str]:
    return [sample_id for fold in splits.folds for sample_id in fold]


def test_the_order_depends_on_seed_and_ids_alone() -> None:
    names = ids("a", 50)
    assert shuffled(names, 1) == shuffled(names[::-1], 1)
    assert shuffled(names, 1) != shuffled(names, 2)
    assert shuffled(names, 1) != names


def test_a_new_sample_does_not_change_the_order_of_the_others() -> None:
    names = ids("a", 50)
    assert [name for name in shuffled([*names, "new"], 1) if name != "new"] == shuffled(names, 1)


@pytest.mark.parametrize("counts", [(50, 50), (30, 7, 3), (1, 1, 1, 1, 1), (101,)])
@pytest.mark.parametrize("folds", [2, 5])
def test_folds_and_classes_in_them_differ_by_one_at_most(counts: tuple[int, ...], folds: int) -> None:
    by_class = {str(number): ids(str(number), count) for number, count in enumerate(counts)}
    dealt = deal_folds(by_class, folds, seed=3)
    assert sorted(sum(dealt, [])) == sorted(sum(by_class.values(), []))
    sizes = [len(fold) for fold in dealt]
    assert max(sizes) - min(sizes) <= 1
    for name in by_class:
        per_fold = [sum(sample_id.startswith(f"{name}-") for sample_id in fold) for fold in dealt]
        assert max(per_fold) - min(per_fold) <= 1


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ((100, 50, 10), 0.2, (20, 10, 2)),
        ((3, 3, 3, 3, 3), 0.2, (1, 1, 1, 0, 0)),
        ((1, 1), 0.5, (0, 0)),
        ((2, 100), 0.5, (1, 50)),
        ((10, 10), 0, (0, 0)),
        ((2, 2), 0.9, (1, 1)),
    ],
)
def test_every_class_gives_its_share_and_keeps_one(
    counts: tuple[int, ...], fraction: float, expected: tuple[int, ...]
) -> None:
    by_class = {str(number): ids(str(number), count) for number, count in enumerate(counts)}
    chosen = Counter(sample_id.split("-")[0] for sample_id in hold_out(by_class, fraction, seed=1))
    assert tuple(chosen[name] for name in by_class) == expected


def test_a_test_split_is_held_out_when_the_source_has_none() -> None:
    splits = split(samples(a=50, b=50), test_fraction=0.2, folds=4)
    assert len(splits.test) == 20
    assert [len(fold) for fold in splits.folds] == [20] * 4
    assert not splits.test & set(trained(splits))


def test_a_test_split_of_the_source_is_kept_as_it_is() -> None:
    given = samples(DataSplit.TEST, a=3, b=1)
    splits = split([*samples(a=50, b=50), *given], test_fraction=0.2)
    assert splits.test == {sample.sample_id for sample in given}
    assert len(trained(splits)) == 100


def test_no_test_split_is_made_when_its_fraction_is_zero() -> None:
    splits = split(samples(a=10, b=10), test_fraction=0)
    assert not splits.test
    assert len(trained(splits)) == 20


def test_validation_samples_of_the_source_are_the_first_fold() -> None:
    val = samples(DataSplit.VAL, a=4, b=4)
    splits = split([*samples(a=40, b=40), *val, *samples(DataSplit.TEST, a=1, b=1)], folds=5)
    assert splits.folds[0] == [sample.sample_id for sample in val]
    assert [len(fold) for fold in splits.folds] == [8, 20, 20, 20, 20]


def test_validation_samples_are_never_held_out_to_test() -> None:
    val = samples(DataSplit.VAL, a=50, b=50)
    splits = split([*samples(a=50, b=50), *val], test_fraction=0.5)
    assert len(splits.test) == 50
    assert len(splits.folds[0]) == 100


def test_unlabelled_samples_are_in_no_split() -> None:
    splits = split([*samples(a=10, b=10), *samples(DataSplit.UNLABELED, a=5)], test_fraction=0)
    assert len(trained(splits)) == 20


def test_folds_of_the_source_are_kept() -> None:
    found = [sample._replace(fold=number % 3) for number, sample in enumerate(samples(a=6, b=6))]
    splits = split(found, test_fraction=0, folds=5)
    assert [len(fold) for fold in splits.folds] == [4, 4, 4]
    assert splits.folds[1] == [sample.sample_id for sample in found if sample.fold == 1]


def test_folds_that_leave_samples_out_are_refused_with_their_ids() -> None:
    found = [sample._replace(fold=0 if number else None) for number, sample in enumerate(samples(a=2, b=2))]
    with pytest.raises(TaskDataError, match=r"1 training sample.* no fold.*train-a-000"):
        split(found, test_fraction=0)


def test_one_fold_alone_is_refused() -> None:
    with pytest.raises(TaskDataError, match="can't fill 1 folds"):
        split([sample._replace(fold=0) for sample in samples(a=4, b=4)], test_fraction=0)


def test_too_few_samples_for_the_folds_are_refused_with_the_numbers() -> None:
    with pytest.raises(TaskDataError, match=r"3 training samples can't fill 5 folds \(1 are kept apart.*mode\.folds"):
        split(samples(a=2, b=2))


def test_classes_smaller_than_the_folds_are_named_with_their_counts() -> None:
    splits = split(samples(common=40, rare=3, rarer=1), test_fraction=0)
    assert splits.notes == [
        "Classes with fewer training samples than the 5 folds are missing in some folds (rare: 3, rarer: 1)."
    ]


def test_folds_keep_the_order_of_the_samples() -> None:
    found = samples(a=20, b=20)
    order = [sample.sample_id for sample in found]
    for fold in split(found, test_fraction=0).folds:
        assert fold == sorted(fold, key=order.index)


def test_another_seed_makes_other_folds() -> None:
    found = samples(a=20, b=20)
    assert split(found, seed=1) == split(found, seed=1)
    assert split(found, seed=1) != split(found, seed=2)
