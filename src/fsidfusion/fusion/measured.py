"""A page of the temperatures of many pictures, to be sorted by coldest, hottest, mean and spot."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from fsidfusion.errors import FusionError
from fsidfusion.fusion.files import Outcome
from fsidfusion.images.atomic import write_text
from fsidfusion.images.files import read_picture
from fsidfusion.images.pixels import quantise, unit
from fsidfusion.report.page import Cell, Section, body, fill_page, scale, span, table, thumbnail, tile, webp
from fsidfusion.thermal.measure import Measures
from fsidfusion.thermal.palettes import palette

_THUMBNAIL = 320  # pixels of the longer side
_PALETTE = "ironbow"  # of the bars, where the pictures have none
_STEPS = 5  # labels of a bar
_HEAD = ("name", "fused", "coldest C", "hottest C", "mean C", "spot C", "coldest to hottest", "note")


def write_measured(path: Path, outcomes: Sequence[Outcome], name: str = _PALETTE) -> None:
    """Write the page of :func:`measured_page`; InputError where it cannot be written."""
    write_text(path, measured_page(outcomes, name))


def measured_page(outcomes: Sequence[Outcome], name: str = _PALETTE) -> str:
    """The page as HTML, in one file that fetches nothing.

    Args:
        outcomes: of the pairs; their pictures are read back from where they were written.
        name: of the palette of the colour bars, which all have the range of all pictures.
    """
    known = [outcome.measures for outcome in outcomes if outcome.measures]
    low = min((each.coldest for each in known), default=math.nan)
    high = max((each.hottest for each in known), default=math.nan)
    colours = [f"rgb({r} {g} {b})" for r, g, b in palette(name)[:: 255 // 15].tolist()]
    rows = [_row(outcome, low, max(high, low + 1e-6), colours) for outcome in outcomes]
    tiles = [tile(str(len(known)), f"of {len(outcomes)} pictures have temperatures")]
    pieces = [table(_HEAD, rows, sortable=True)]
    if known:
        for what, outcome in (
            ("coldest", min(outcomes, key=lambda each: each.measures.coldest if each.measures else math.inf)),
            (
                "hottest",
                max(outcomes, key=lambda each: each.measures.hottest if each.measures else -math.inf),
            ),
        ):
            tiles.append(
                tile(f"{low if what == 'coldest' else high:.1f} C", f"{what}, in {outcome.pair.name}")
            )
        labels = [f"{low + (high - low) * step / (_STEPS - 1):.1f} C" for step in range(_STEPS)]
        pieces.insert(0, scale(colours, labels))
    notes = [
        "Temperatures are those of the infrared files, before these were brought to the visible pictures. The"
        " spot is the mean of the middle 3x3 pixels. A bar reaches from the coldest to the hottest point"
        " of its picture, on the scale above; its mark is the mean.",
        "A press on the head of a column sorts by it.",
    ]
    section = Section("pictures", "Pictures", f"{len(outcomes)} pairs", body(*pieces))
    return fill_page("Temperatures", "of fused pictures, by FSIDFusion", tiles, [section], notes)


def _row(outcome: Outcome, low: float, high: float, colours: Sequence[str]) -> list[str | Cell]:
    note = {"skipped": "existed, and was not measured again", "failed": outcome.message}.get(
        outcome.status, ""
    )
    measures = outcome.measures
    if not note and measures is None:
        note = "its infrared file holds no temperatures that are known"
    shown = _thumbnail(outcome) if outcome.status != "failed" else ""
    said = Cell(note, "note")
    if measures is None:
        return [outcome.pair.name, shown, "", "", "", "", "", said]
    return [outcome.pair.name, shown, *_numbers(measures), _bar(measures, low, high, colours), said]


def _numbers(measures: Measures) -> list[str]:
    values = (measures.coldest, measures.hottest, measures.mean, measures.spot)
    return ["" if math.isnan(value) else f"{value:.1f}" for value in values]


def _bar(measures: Measures, low: float, high: float, colours: Sequence[str]) -> Markup:
    begin, end, mark = (
        (value - low) / (high - low) for value in (measures.coldest, measures.hottest, measures.mean)
    )
    return span(colours, begin, max(end, begin + 0.01), mark)


def _thumbnail(outcome: Outcome) -> str:
    try:
        pixels = read_picture(outcome.output).pixels
    except FusionError:
        return ""
    shown = pixels if pixels.dtype == np.uint8 else quantise(unit(pixels), np.dtype(np.uint8))
    return thumbnail(webp(np.asarray(shown, np.uint8), _THUMBNAIL), outcome.pair.name)
