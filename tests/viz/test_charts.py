import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.viz.charts import HEIGHT, WIDTH, Curve, curves_svg, histogram_svg, ticks


def numbers_of(polyline):
    return [tuple(map(float, point.split(","))) for point in polyline.get("points").split()]


def test_curves_are_valid_svg_inside_the_frame_and_rise_upwards():
    x = np.linspace(0, 1, 11)
    curves = [Curve("own <b>", x, x**2), Curve("ideal", x, x, dashed=True)]
    root = ET.fromstring(curves_svg(curves, x_label="share & kept", y_label="AbsRel"))
    lines = root.findall("polyline")
    assert len(lines) == 2 and lines[1].get("stroke-dasharray")
    for line in lines:
        points = numbers_of(line)
        assert len(points) == 11
        assert all(0 <= a <= WIDTH and 0 <= b <= HEIGHT for a, b in points)
        assert points[-1][0] > points[0][0] and points[-1][1] < points[0][1]
    texts = [t.text for t in root.findall("text")]
    assert {"own <b>", "ideal", "share & kept", "AbsRel"} <= set(texts)


def test_points_that_are_not_finite_are_left_out_and_none_at_all_is_refused():
    curve = Curve("a", np.array([0.0, 1, 2]), np.array([1.0, np.nan, 3]))
    root = ET.fromstring(curves_svg([curve], x_label="x", y_label="y"))
    assert len(numbers_of(root.find("polyline"))) == 2
    with pytest.raises(ConfigError):
        curves_svg([curve._replace(y_S=np.full(3, np.nan))], x_label="x", y_label="y")


def test_histogram_bars_hold_every_value():
    values = np.r_[np.full(30, 0.1), np.full(10, 0.2), np.nan]
    root = ET.fromstring(histogram_svg(values, label="AbsRel", bins=4, marks={"mean": 0.125}))
    heights = [float(bar.get("height")) for bar in root.findall("rect")]
    assert heights[0] == pytest.approx(3 * heights[-1], rel=0.01) and heights[1] == 0
    assert "mean 0.125" in [t.text for t in root.findall("text")]
    long_tail = np.r_[np.linspace(0, 1, 500), 1e6]
    marks = [t.text for t in ET.fromstring(histogram_svg(long_tail, label="x"))]
    assert "1" in marks or "1.0" in marks
    assert histogram_svg(np.ones(3), label="one value")
    with pytest.raises(ConfigError):
        histogram_svg(np.array([np.nan]), label="x")


@pytest.mark.parametrize("ends", [(0, 1), (-3.2, 7.9), (1e-7, 3e-7), (0.051, 0.0511), (0, 12345)])
def test_ticks_are_few_round_and_cover_the_range(ends):
    marks = ticks(*ends)
    assert marks[0] <= ends[0] + 1e-12 and marks[-1] >= ends[1] - 1e-12
    assert 3 <= len(marks) <= 8
    with pytest.raises(ConfigError):
        ticks(1, 1)


def test_doublings_stand_equally_far_apart_and_the_legend_can_move():
    x = np.array([0.0, 512, 1024, 2048, 4096])
    curve = Curve("wide", x, np.array([9.0, 4, 3, 2, 1]))
    root = ET.fromstring(
        curves_svg([curve], x_label="samples", y_label="y", is_log2=True, legend="right")
    )
    points = numbers_of(root.find("polyline"))
    steps = np.diff([a for a, _ in points])
    assert len(points) == 4 and steps == pytest.approx(np.full(3, steps[0]), abs=0.2)
    places = {t.text: float(t.get("x")) for t in root.findall("text")}
    assert {"512", "1024", "2048", "4096"} <= places.keys()
    assert places["1024"] == pytest.approx(points[1][0], abs=0.2)
    assert places["wide"] > WIDTH / 2
