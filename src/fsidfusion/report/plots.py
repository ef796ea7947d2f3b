"""Small plots as inline SVG: bars, scatters, lines, matrices; the style sheet of the page colours them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from fsidfusion.report.page import render

Box = tuple[float, float, float, float]  # left, top, right, bottom
Kind = Literal["ours", "baseline", "published", "reference", "best"]

_BAR_WIDTH, _BAR_LEFT, _BAR_STEP, _BAR_TOP = 320, 118, 19, 26
_PLOT = (360, 280)  # width, height
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 28, 40  # margins
_LINES, _NAMES = (560, 320), 150  # width, height; least width of the names at the right
COLOURS = ("#3b6fd4", "#d4553b", "#2f9e5b", "#9b51c4", "#c78a1b", "#1b9fb0", "#c4517f", "#6b7280")
_CELL, _SIDE, _HEAD = 34, 96, 112  # of a matrix
_LABEL_HEIGHT, _CHARACTER = 12, 6.6  # of a label, in units of the drawing


@dataclass(frozen=True)
class _Mark:
    """One element of a drawing; ``tip`` shows on hovering."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Point:
    """One dot of a scatter plot."""

    label: str
    x: float
    y: float
    kind: Kind
    named: bool = False  # its label is drawn beside it; otherwise it shows on hovering


@dataclass(frozen=True)
class Bar:
    """One bar, with its value as it is written beside it."""

    label: str
    value: float
    text: str
    kind: Kind
    spread: float = math.nan  # drawn as a whisker on both sides of the end


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Horizontal bars from zero. Returns the SVG element."""
    ends = [row.value + (0.0 if math.isnan(row.spread) else row.spread) for row in rows]
    longest = max((end for end in ends if end > 0), default=1.0)
    names = _CHARACTER * max((len(row.label) for row in rows), default=0)
    values = _CHARACTER * max((len(row.text) for row in rows), default=0)
    left = max(_BAR_LEFT, 12 + names)
    space = max(100.0, _BAR_WIDTH - left - max(44, 10 + values))  # right of the longest bar stands its value
    width = math.ceil(max(_BAR_WIDTH, left + space + 10 + values))
    parts = [_text("title", 0, 14, title)]
    for place, row in enumerate(rows):
        top = _BAR_TOP + place * _BAR_STEP
        length = 0.0 if math.isnan(row.value) else max(0.0, row.value) / longest * space
        parts += [
            _text(f"name {row.kind}", left - 6, top + 11, row.label, "end"),
            _Mark("rect", {"class": row.kind, **_at(x=left, y=top, width=length, height=14, rx=2)}),
        ]
        if not math.isnan(row.spread + row.value):
            whisker = row.spread / longest * space
            end = left + length
            parts.append(_line("whisker", max(left, end - whisker), top + 7, end + whisker, top + 7))
            length += whisker
        parts.append(_text("value", left + length + 5, top + 11, row.text))
    return _svg(f"{title} by method", width, _BAR_TOP + len(rows) * _BAR_STEP, parts)


def scatter(title: str, x_name: str, y_name: str, points: Sequence[Point], diagonal: bool = False) -> Markup:
    """A scatter plot; ``diagonal`` draws x = y and gives both axes one range. Returns the SVG element."""
    points = [point for point in points if not math.isnan(point.x + point.y)]
    xs, ys = [point.x for point in points] or [0.0], [point.y for point in points] or [0.0]
    x_ticks, y_ticks = (_ticks(xs + ys),) * 2 if diagonal else (_ticks(xs), _ticks(ys))
    width, height = _PLOT
    right, bottom = width - _RIGHT, height - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - _LEFT)

    def down(y: float) -> float:
        return bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - _TOP)

    parts = [_text("title", 0, 14, title)]
    for x in x_ticks:
        parts += [
            _line("grid", across(x), _TOP, across(x), bottom),
            _text("tick", across(x), bottom + 15, f"{x:g}", "middle"),
        ]
    for y in y_ticks:
        parts += [
            _line("grid", _LEFT, down(y), right, down(y)),
            _text("tick", _LEFT - 6, down(y) + 4, f"{y:g}", "end"),
        ]
    if diagonal:
        parts.append(_line("diagonal", _LEFT, bottom, right, _TOP))
    parts.append(_text("axis", (_LEFT + right) / 2, height - 6, x_name, "middle"))
    parts.append(_upright(y_name, (_TOP + bottom) / 2))
    places = {point: (across(point.x), down(point.y)) for point in points}
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places.values()]
    for point in sorted(places, key=lambda point: point.named):  # the named ones on top
        x, y = places[point]
        tip = f"{point.label}: {x_name} {point.x:.3f}, {y_name} {point.y:.3f}"
        place = _at(cx=x, cy=y, r=5 if point.named else 3.5)
        parts.append(_Mark("circle", {"class": point.kind, **place}, tip=tip))
        if point.named:
            parts += _label(point, x, y, taken)
    return _svg(title, width, height, parts)


def lines(
    title: str,
    x_name: str,
    y_name: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    log: bool = False,
) -> Markup:
    """Lines through (x, y) points, named at their right ends; ``log``: both axes, all values positive.

    Returns the SVG element.
    """
    points = [(x, y) for line in series.values() for x, y in line if math.isfinite(x + y)]
    xs, ys = [x for x, _ in points] or [1.0], [y for _, y in points] or [1.0]
    x_ticks, y_ticks = (_decades(xs), _decades(ys)) if log else (_ticks(xs), _ticks(ys))
    width, height = _LINES
    room = max(_NAMES, 14 + _CHARACTER * max(map(len, series), default=0))  # for the names
    right, bottom = width - room, height - _BOTTOM

    def part(value: float, ticks: Sequence[float]) -> float:
        low, high, value = (
            map(math.log10, (ticks[0], ticks[-1], value)) if log else (ticks[0], ticks[-1], value)
        )
        return (value - low) / (high - low)

    def across(x: float) -> float:
        return _LEFT + part(x, x_ticks) * (right - _LEFT)

    def down(y: float) -> float:
        return bottom - part(y, y_ticks) * (bottom - _TOP)

    parts = [_text("title", 0, 14, title)]
    for x in x_ticks:
        parts.append(_line("grid", across(x), _TOP, across(x), bottom))
        parts.append(_text("tick", across(x), bottom + 15, f"{x:g}", "middle"))
    for y in y_ticks:
        parts.append(_line("grid", _LEFT, down(y), right, down(y)))
        parts.append(_text("tick", _LEFT - 6, down(y) + 4, f"{y:g}", "end"))
    parts.append(_text("axis", (_LEFT + right) / 2, height - 6, x_name, "middle"))
    parts.append(_upright(y_name, (_TOP + bottom) / 2))
    drawn = {name: [(x, y) for x, y in line if math.isfinite(x + y)] for name, line in series.items()}
    drawn = {name: line for name, line in drawn.items() if line}
    free = -math.inf  # the names stand below each other, beside the ends as far as there is room
    names = sorted(drawn, key=lambda name: down(drawn[name][-1][1]))
    for place, name in enumerate(names):
        colour = COLOURS[list(drawn).index(name) % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in drawn[name])
        line = {"fill": "none", "stroke": colour, "stroke-width": "1.6", "points": path}
        parts.append(_Mark("polyline", line))
        lowest = bottom - (len(names) - 1 - place) * _LABEL_HEIGHT
        free = max(free + _LABEL_HEIGHT, min(down(drawn[name][-1][1]) + 4, lowest))
        parts.append(_text("name", right + 8, free, name, style=f"fill:{colour}"))
    return _svg(title, width, height, parts)


def matrix(title: str, names: Sequence[str], counts: Sequence[Sequence[int]], about: str) -> Markup:
    """A square matrix as the shares of its rows, in percent; the diagonal is green. Returns the SVG element.

    Args:
        title: above it.
        names: of the rows, and of the columns.
        counts: by row and column; rows without any stay empty.
        about: below it, what the rows are.
    """
    side = _CELL * len(names)
    marks = [_text("title", 8, 16, title)]
    for place, name in enumerate(names):
        middle = _CELL * (place + 0.5)
        marks.append(_text("name", _SIDE - 6, _HEAD + middle + 4, name, "end"))
        turned = f"rotate(-45 {_SIDE + middle} {_HEAD - 6})"
        marks.append(_text("name", _SIDE + middle, _HEAD - 6, name, transform=turned))
    for row, line in enumerate(counts):
        total = sum(line)
        for column, count in enumerate(line):
            share, x, y = count / max(total, 1), _SIDE + _CELL * column, _HEAD + _CELL * row
            tip = f"true {names[row]}, predicted {names[column]}: {count} pixels"
            fill = "#2f855a" if row == column else "#c05621"
            style = f"fill:{fill};fill-opacity:{share:.3f};stroke:#8886;stroke-width:0.5"
            box = _at(x=x, y=y, width=_CELL - 1, height=_CELL - 1)
            marks.append(_Mark("rect", {**box, "style": style}, tip=tip))
            if total:
                text = f"{100 * share:.0f}" if share >= 0.005 else "·"
                marks.append(_text("cell", x + _CELL / 2 - 0.5, y + _CELL / 2 + 4, text, "middle"))
    marks.append(_text("axis", _SIDE, _HEAD + side + 16, about))
    return _svg(title, _SIDE + side + 60, _HEAD + side + 26, marks)


def as_file(svg: str) -> str:
    """A plot as an SVG file of its own, with the styles that a page would give it; light and dark."""
    style = (
        "text{font:11.5px system-ui,sans-serif;fill:#333}.title{font-weight:600}.grid{stroke:#8884}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
    )
    head, body = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{body}\n'


def _label(point: Point, x: float, y: float, taken: list[Box]) -> list[_Mark]:
    """The name beside a dot, on the first place that is inside the plot and free; nothing where none is."""
    length = len(point.label) * _CHARACTER
    beside = [(8.0, 4.0), (-8.0 - length, 4.0)]
    around = [(dx, dy) for dy in (-9.0, 18.0, -22.0, 30.0) for dx in (-length / 2, 6.0, -length - 6)]
    for dx, dy in (*beside, *around):
        box = (x + dx, y + dy - _LABEL_HEIGHT + 2, x + dx + length, y + dy + 2)
        inside = (
            box[0] >= _LEFT and box[2] <= _PLOT[0] and box[1] >= _TOP - 8 and box[3] <= _PLOT[1] - _BOTTOM
        )
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return [_text(f"name {point.kind}", box[0], y + dy, point.label)]
    return []


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ticks(values: Sequence[float], number: int = 5) -> list[float]:
    """Round numbers that enclose all values, about ``number`` of them."""
    low, high = min(values), max(values)
    span = max(high - low, 1e-3 * max(abs(low), abs(high), 1.0))  # finer differences are none
    power = 10.0 ** math.floor(math.log10(span / number))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * number >= span * 0.999)
    first, last = math.floor(low / step - 1e-9), math.ceil(high / step + 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    """Powers of ten that enclose all values, at least two."""
    first, last = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def _text(name: str, x: float, y: float, text: str, anchor: str = "start", **more: str) -> _Mark:
    return _Mark("text", {"class": name, **_at(x=x, y=y), "text-anchor": anchor, **more}, text)


def _upright(text: str, y: float) -> _Mark:
    """The name of a vertical axis, centred on ``y``."""
    turned = f"translate(11 {y}) rotate(-90)"
    return _Mark("text", {"class": "axis", "transform": turned, "text-anchor": "middle"}, text)


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> _Mark:
    return _Mark("line", {"class": name, **_at(x1=x1, y1=y1, x2=x2, y2=y2)})


def _at(**places: float) -> dict[str, str]:
    return {name: f"{value:.1f}".removesuffix(".0") for name, value in places.items()}


def _svg(title: str, width: float, height: float, marks: Sequence[_Mark]) -> Markup:
    return render("plot.svg", title=title, width=width, height=height, marks=marks)
