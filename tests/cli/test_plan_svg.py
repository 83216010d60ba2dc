"""Pictures: well-formed, with no box on another and no text outside its box, in colours and signs."""

import re
from collections.abc import Sequence
from itertools import combinations
from xml.etree import ElementTree

import pytest

from mml.plan_record import DONE, FAILED, SIGNS, TAKEN, TO_DO, PlannedStep
from mml.plan_svg import plan_svg
from mml.report.quick_table import cell_width
from tests.cli.test_plan_fold import random_steps
from tests.support.plans import chain, diamond, fan, folds, plan_of, planned

SVG = "{http://www.w3.org/2000/svg}"
THINNEST = 5.5  # pixels of a character of 13 pixels on average, at least


def drawn(steps: Sequence[PlannedStep], **options: bool) -> ElementTree.Element:
    return ElementTree.fromstring(plan_svg(plan_of(steps), "the sums", **options))


def boxes_of(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each box, with the cards behind it."""
    found = []
    for group in root.iter(f"{SVG}g"):
        cards = [rect for rect in group.iter(f"{SVG}rect") if rect.get("class") == "box"]
        if cards:
            sides = [[float(rect.get(key, "")) for key in ("x", "y", "width", "height")] for rect in cards]
            lefts, tops, rights, bottoms = zip(*((x, y, x + w, y + h) for x, y, w, h in sides), strict=True)
            found.append((min(lefts), min(tops), max(rights), max(bottoms)))
    return found


STUDIES = {
    "nothing": [],
    "three": chain(3),
    "diamond": diamond(),
    "folds of three tasks": folds(["digits", "fashion_mnist", "lfw"], 5),
    "folds of three tasks and an end": folds(["digits", "fashion_mnist", "lfw"], 5, finish=True),
    "fan": fan(100),
    "long chain": chain(60),
    "no pattern": random_steps(70),
    "no pattern, many": random_steps(1000),
    "wide characters": [planned(0, "训练", ["数字" * 8]), planned(1, "x", needs=[0])],
}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("every", [False, True])
def test_no_box_lies_on_another_or_leaves_the_picture(name: str, every: bool) -> None:
    if every and len(STUDIES[name]) > 200:
        return
    root = drawn(STUDIES[name], every=every)
    boxes = boxes_of(root)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


@pytest.mark.parametrize("name", STUDIES)
def test_text_has_room_in_its_box(name: str) -> None:
    for group in drawn(STUDIES[name]).iter(f"{SVG}g"):
        cards = [rect for rect in group.iter(f"{SVG}rect") if rect.get("class") == "box"]
        for text in group.iter(f"{SVG}text"):
            if cards and text.get("class") == "label":
                right = float(cards[-1].get("x", "")) + float(cards[-1].get("width", ""))
                assert float(text.get("x", "")) + cell_width(text.text or "") * THINNEST <= right


def test_a_fan_is_one_stack_and_the_last_step() -> None:
    labels = [text.text for text in drawn(fan(100)).iter(f"{SVG}text") if text.get("class") == "label"]
    assert labels == ["work ×100", "101 finish()"]


def test_every_box_says_more_when_the_mouse_is_over_it() -> None:
    root = drawn(diamond())
    tips = [title.text for group in root.iter(f"{SVG}g") for title in group.findall(f"{SVG}title")]
    assert [str(tip).splitlines()[0] for tip in tips] == [f"step {n + 1}: {'abcd'[n]}()" for n in range(4)]


def test_states_are_told_by_colour_and_sign() -> None:
    states = [DONE, TAKEN, TO_DO, FAILED]
    root = drawn([planned(n, state=state) for n, state in enumerate(states)])
    groups = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    assert [group.get("class") for group in groups] == ["done", "taken", "todo", "failed"]
    signs = [text.text for group in groups for text in group.iter(f"{SVG}text") if text.get("class") == "sign"]
    assert signs == [SIGNS[state] for state in states]
    legend = [text for text in root.iter(f"{SVG}text") if text.get("class") == "legend"]
    assert ["".join(text.itertext()) for text in legend] == [f"{SIGNS[state]} 1 {state}" for state in states]


def test_the_picture_has_colours_for_dark_pages() -> None:
    text = plan_svg(plan_of(diamond()), "")
    light, dark = text.split("@media (prefers-color-scheme:dark)")
    for name in ("page", "done .box", "taken .box", "todo .box", "failed .box", "line"):
        assert f".{name}{{" in light
        assert f".{name}{{" in dark


def test_text_of_users_is_only_text() -> None:
    steps = [planned(0, "work", ["</title><script>&\x00\x1b"], state=FAILED, reason="<b>")]
    root = drawn(steps)
    assert root.findall(f".//{SVG}script") == []
    assert "work(</title><script>&" in str(next(t.text for t in root.iter(f"{SVG}text") if t.get("class") == "label"))


def test_lines_end_at_the_boxes_that_they_lead_to() -> None:
    root = drawn(diamond())
    tips = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("class") == "tip"]
    lefts = {box[0] for box in boxes_of(root)}
    assert len(tips) == 4
    for tip in tips:
        start = re.match(r"M([\d.]+) ", tip)
        assert start is not None
        assert any(abs(float(start[1]) + 8 - left) < 0.2 for left in lefts)


def test_many_lines_to_one_box_share_their_way() -> None:
    text = plan_svg(plan_of(folds(count=9, finish=True)), "")
    trunks = re.findall(r'class="line" d="M[\d.]+ [\d.]+H([\d.]+)Q', text)
    assert len(trunks) > 10
    assert len(set(trunks)) == 1


def test_parts_stand_side_by_side_when_the_picture_would_be_too_high() -> None:
    root = drawn(folds(["a", "b", "c"], 5))
    assert float(root.get("width", "")) > float(root.get("height", ""))
    assert len({box[0] for box in boxes_of(root)}) == 6


def test_a_long_chain_goes_on_in_the_next_row_as_text_does() -> None:
    steps = [planned(n, "abcde"[n % 5], [n], needs=[n - 1] if n else []) for n in range(40)]
    root = drawn(steps)
    boxes = boxes_of(root)
    assert float(root.get("width", "")) < 1400
    rows = sorted({top for _, top, _, _ in boxes})
    assert len(rows) > 3
    assert boxes == sorted(boxes, key=lambda box: (box[1], box[0]))
    back = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("class") == "line"]
    assert len(back) == 39
    assert sum(path.count("Q") == 4 for path in back) == len(rows) - 1
    assert "Q" not in "".join(path.get("d", "") for path in drawn(chain(3)).iter(f"{SVG}path"))
