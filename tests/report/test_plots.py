import xml.etree.ElementTree as xml

from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.report.plots import Bar, Point, as_file, bars, lines, scatter

numbers = st.floats(-1e3, 1e4)


def test_bars_are_as_long_as_their_values():
    rows = [
        Bar("a <b>", 4.0, "4.00", "ours"),
        Bar("c", 1.0, "1.00", "best"),
        Bar("d", float("nan"), "nan", "best"),
    ]
    tree = xml.fromstring(bars("SF & AG", rows))
    lengths = [float(bar.get("width")) for bar in tree.iter("rect")]
    assert lengths[0] == 4 * lengths[1] > 0
    assert lengths[2] == 0
    assert "a <b>" in [text.text for text in tree.iter("text")]


@given(st.integers(1, 40), st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_names_and_values_of_bars_lie_inside_the_picture(name, text, value, spread):
    rows = [Bar("n" * name, value, "0" * text, "ours", spread), Bar("m", 0.5, "0.5", "best")]
    tree = xml.fromstring(bars("mAP", rows))
    width = float(tree.get("viewBox").split()[2])
    for label in list(tree.iter("text"))[1:]:
        x, length = float(label.get("x")), 6.6 * len(label.text)
        start = x - length if label.get("text-anchor") == "end" else x
        assert start >= 0 and start + length <= width


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), st.booleans())
def test_every_dot_is_inside_the_axes(places, diagonal):
    points = [Point(str(n), x, y, "ours", named=n < 3) for n, (x, y) in enumerate(places)]
    tree = xml.fromstring(scatter("t", "x", "y", points, diagonal))
    ticks = [line for line in tree.iter("line") if line.get("class") == "grid"]
    left, right = (f(float(line.get("x1")) for line in ticks) for f in (min, max))
    top, bottom = (f(float(line.get("y1")) for line in ticks) for f in (min, max))
    dots = list(tree.iter("circle"))
    assert len(dots) == len(places)
    for dot in dots:
        assert left - 0.1 <= float(dot.get("cx")) <= right + 0.1
        assert top - 0.1 <= float(dot.get("cy")) <= bottom + 0.1
    assert 2 <= len({line.get("x1") for line in ticks}) <= 16


def test_places_follow_the_values():
    points = [
        Point("low", 1.0, 10.0, "ours"),
        Point("high", 2.0, 30.0, "best"),
        Point("mid", 1.5, 20.0, "best"),
    ]
    dots = {
        d.get("class") + d[0].text[:3]: d
        for d in xml.fromstring(scatter("t", "x", "y", points)).iter("circle")
    }
    low, high, mid = (dots[name] for name in ("ourslow", "besthig", "bestmid"))
    assert float(low.get("cx")) < float(mid.get("cx")) < float(high.get("cx"))
    assert float(low.get("cy")) > float(mid.get("cy")) > float(high.get("cy"))
    assert low[0].text == "low: x 1.000, y 10.000"


def test_undefined_points_are_left_out():
    tree = xml.fromstring(scatter("t", "x", "y", [Point("a", float("nan"), 1.0, "ours")]))
    assert not list(tree.iter("circle"))


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=9), st.booleans())
def test_every_line_is_inside_the_axes(points, log):
    tree = xml.fromstring(lines("t", "x", "y", {"one": points, "two": points[:1], "none": []}, log))
    ticks = list(tree.iter("line"))
    left, right = (f(float(line.get(x)) for line in ticks for x in ("x1", "x2")) for f in (min, max))
    top, bottom = (f(float(line.get(y)) for line in ticks for y in ("y1", "y2")) for f in (min, max))
    drawn = [line.get("points").split() for line in tree.iter("polyline")]
    assert sorted(len(line) for line in drawn) == [1, len(points)]
    for x, y in (map(float, place.split(",")) for line in drawn for place in line):
        assert left - 0.2 <= x <= right + 0.2
        assert top - 0.2 <= y <= bottom + 0.2


def test_ten_times_is_as_far_everywhere_on_logarithmic_axes():
    tree = xml.fromstring(lines("t", "x", "y", {"a": [(1, 10), (10, 100), (100, 1000)]}, log=True))
    (line,) = tree.iter("polyline")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in line.get("points").split())
    assert abs((x1 - x0) - (x2 - x1)) < 0.2 and abs((y0 - y1) - (y1 - y2)) < 0.2
    assert x1 > x0 and y1 < y0


def test_a_plot_as_a_file():
    tree = xml.fromstring(as_file(lines("t", "x", "y", {"a": [(1.0, 2.0), (2.0, 3.0)]})))
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert tree.get("viewBox") == "0 0 560 320"
