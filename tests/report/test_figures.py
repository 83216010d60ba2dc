import math
from typing import Any
from xml.etree import ElementTree

import pytest

from mml.report.figures import curves_svg, matrix_svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(svg: str) -> ElementTree.Element:
    """Return the figure; it has to be well-formed and inside of its frame."""
    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        assert 0 <= float(element.attrib.get("x", 0)) <= width
        assert 0 <= float(element.attrib.get("y", 0)) <= height
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NAMESPACE}text")]


def places(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    found = [line.attrib["points"].split() for line in root.iter(f"{NAMESPACE}polyline")]
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in points)] for points in found]


def rows(**values: list[Any]) -> list[dict[str, Any]]:
    number = len(next(iter(values.values())))
    named = {name.replace("_", "/"): series for name, series in values.items()}
    return [{"epoch": n, **{name: series[n] for name, series in named.items()}} for n in range(number)]


def test_curves_go_from_the_first_to_the_last_epoch_and_up_with_the_value() -> None:
    root = drawn(curves_svg("digits", rows(train_loss=[3.0, 2.0, 1.0], val_loss=[4.0, 3.0, 3.5]), ["loss"]))
    train, val = places(root)
    assert [x for x, _ in train] == [x for x, _ in val]
    assert train[0][0] < train[1][0] < train[2][0]
    # The y axis of SVG points down.
    assert train[0][1] < train[1][1] < train[2][1]
    assert val[0][1] == min(y for _, y in train + val)


def test_a_panel_names_metric_range_splits_and_title() -> None:
    svg = curves_svg("digits <fold 0>", rows(train_loss=[3.0, 1.0], val_loss=[4.0, 3.0]), ["loss"])
    assert {"digits <fold 0>", "loss", "4", "1", "train", "val", "epoch 1 to 2"} <= set(texts(drawn(svg)))


def test_there_is_a_panel_per_measured_metric() -> None:
    root = drawn(curves_svg("t", rows(train_loss=[3.0], val_f1=[0.5]), ["loss", "f1", "kappa"]))
    assert len(places(root)) == 2
    assert "kappa" not in texts(root)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_is_no_number_is_left_out(missing: float | None) -> None:
    (line,) = places(drawn(curves_svg("t", rows(val_loss=[3.0, missing, 1.0]), ["loss"])))
    assert len(line) == 2


def test_a_constant_and_a_single_epoch_can_be_drawn() -> None:
    assert places(drawn(curves_svg("t", rows(val_loss=[2.0]), ["loss"])))
    assert places(drawn(curves_svg("t", rows(val_loss=[2.0, 2.0]), ["loss"])))


def test_nothing_measured_is_an_empty_figure() -> None:
    assert places(drawn(curves_svg("t", [], ["loss"]))) == []


def test_a_matrix_has_every_class_twice_and_every_count() -> None:
    root = drawn(matrix_svg("digits", ["cat & co", "dog"], [[7, 1], [0, 12]]))
    assert texts(root).count("cat & co") == 2
    assert {"7", "1", "0", "12"} <= set(texts(root))


def test_the_larger_the_share_of_a_row_the_darker_the_cell() -> None:
    root = drawn(matrix_svg("t", ["a", "b"], [[9, 1], [0, 0]]))
    cells = [float(box.attrib["fill-opacity"]) for box in root.iter(f"{NAMESPACE}rect") if "fill-opacity" in box.attrib]
    assert cells == [0.9, 0.1, 0.0, 0.0]


def test_long_names_are_cut() -> None:
    shown = texts(drawn(matrix_svg("t", ["x" * 200], [[1]])))
    assert max(len(text) for text in shown) <= 24
