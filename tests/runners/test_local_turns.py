"""Who needs much gets its turn, however many there are who need little."""

from mml.core.scripts.resources import Resources
from mml.runners.local_turns import Turns

BIG, BIGGER, SMALL = Resources(cpus=8), Resources(cpus=9), Resources(cpus=1)


def never(_: Resources) -> bool:
    return False


def test_all_may_begin_as_long_as_nobody_waits() -> None:
    turns = Turns(2)
    for _ in range(5):
        assert turns.may_begin(SMALL)
        turns.begun(SMALL, never)


def test_others_wait_once_enough_of_them_were_let_past() -> None:
    turns = Turns(2)
    turns.refuse(BIG)
    for _ in range(2):
        assert turns.may_begin(SMALL)
        turns.refuse(BIG)
        turns.begun(SMALL, never)
    assert not turns.may_begin(SMALL)
    assert turns.may_begin(BIG)
    turns.begun(BIG, never)
    assert turns.may_begin(SMALL)


def test_the_one_that_waits_longest_comes_first() -> None:
    turns = Turns(1)
    turns.refuse(BIG)
    turns.refuse(BIGGER)
    turns.begun(SMALL, never)
    assert [turns.may_begin(needs) for needs in (BIG, BIGGER, SMALL)] == [True, False, False]


def test_nobody_is_overtaken_while_there_is_room_for_it() -> None:
    turns = Turns(1)
    turns.refuse(BIG)
    turns.begun(SMALL, lambda needs: needs == BIG)
    assert turns.may_begin(SMALL)


def test_those_who_wait_are_forgotten_when_there_is_room_for_everybody() -> None:
    turns = Turns(1)
    turns.refuse(BIG)
    turns.begun(SMALL, never)
    turns.clear()
    assert turns.may_begin(SMALL)
