"""Heat maps and curves say what the numbers say, in well-formed SVG and in a terminal."""

import math
import xml.etree.ElementTree as ET

import pytest

from seq2x.pictures import Curve, curves_svg, heatmap_svg, heatmap_terminal

SVG = "{http://www.w3.org/2000/svg}"


def test_heatmap_svg_holds_every_weight_and_label():
    svg = ET.fromstring(heatmap_svg([[0.25, 0.75], [1.0, 0.0]], ["<a>", "年"], ["x", " "], title="a & b"))
    cells = [cell for cell in svg.iter(f"{SVG}rect") if cell.get("class") == "c"]
    assert [cell.get("fill-opacity") for cell in cells] == ["0.250", "0.750", "1.000", "0.000"]
    assert cells[1].find(f"{SVG}title").text == "x ← 年: 0.750"
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts == ["a & b", "<a>", "年", "x", "␣"]


def test_heatmap_terminal_is_a_rectangle_with_wide_characters():
    lines = heatmap_terminal([[1.0, 0.0, 0.5], [0.0, 1.0, 0.2]], ["9", "月", "x"], ["03", "日"]).split("\n")
    assert lines == ["   9 月x", "03 ██  ▒▒", "日   ██░░"]


def test_heatmap_of_any_text_is_well_formed():
    """XML has no control characters, not even escaped."""
    svg = ET.fromstring(heatmap_svg([[1.0]], ["\x00"], ["\x1b"], title="a\x07b"))
    assert [text.text for text in svg.iter(f"{SVG}text")] == ["a·b", "·", "·"]


def test_heatmap_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(1, 2\) needs 1 row and 2 column labels"):
        heatmap_svg([[0.5, 0.5]], ["a"], ["b"])


def test_heatmap_of_nothing():
    assert heatmap_terminal([], [], []) == ""
    ET.fromstring(heatmap_svg([], [], []))


def test_curves_place_points_inside_the_axes_and_drop_what_is_not_finite():
    svg = ET.fromstring(
        curves_svg([Curve("train", [(0, 2.0), (10, math.nan), (20, 1.0)]), Curve("<v>", [(20, 1.5)])], "loss")
    )
    lines = [line.get("points").split() for line in svg.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [2, 1]
    for points in lines:
        for point in points:
            x, y = map(float, point.split(","))
            assert 64 <= x <= 628 and 28 <= y <= 210
    first, last = (tuple(map(float, point.split(","))) for point in lines[0])
    assert first[0] < last[0] and first[1] < last[1]  # to the right, and downwards: a smaller loss stands lower


@pytest.mark.parametrize("points", [[], [(5, 1.0)], [(0, 1.0), (9, 1.0)], [(1, 1e20)], [(1, -1e300)]])
def test_curves_without_a_range(points):
    ET.fromstring(curves_svg([Curve("flat", points)], "loss", unit=" %"))


def test_many_points_are_drawn_without_dots():
    svg = ET.fromstring(curves_svg([Curve("long", [(x, x) for x in range(101)])], "steps"))
    assert not list(svg.iter(f"{SVG}circle"))
