"""The page that all reports share, and its pieces: one file that fetches nothing.

Jinja2 fills the templates of this room and escapes: text is shown as text, whatever it holds. Only what a
piece of this module or a plot has made (``Markup``) is taken as HTML.
"""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 640  # pixels of a picture on a card; larger ones are shrunk
QUALITY = 85  # of WebP


@dataclass(frozen=True)
class Section:
    """A part of the page; ``body`` is made of pieces. Those with an anchor are linked at the top."""

    anchor: str
    title: str
    remark: str
    body: Markup


@dataclass(frozen=True)
class Cell:
    """Of a table; ``shade`` is win, even, count, total, note (a text that wraps) or nothing."""

    text: str
    shade: str = ""


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend: what a shade of cells, or a CSS colour, means; without both, a remark."""

    text: str
    shade: str = ""
    color: str = ""


@dataclass(frozen=True)
class Card:
    """One frame in several versions; a press on it opens the viewer."""

    title: str
    chips: Sequence[str]  # short remarks; the first word, best or worst, gives the colour
    pictures: Mapping[str, bytes]  # label -> WebP; the viewer begins with the first and the third
    name: str = ""  # above the viewer, where it is not the title

    @property
    def encoded(self) -> list[tuple[str, str]]:
        """Labels and pictures in base64."""
        return [(label, b64encode(picture).decode()) for label, picture in self.pictures.items()]


def render(template: str, **values: object) -> Markup:
    """A template of this room, filled; strings among the values are escaped."""
    return Markup(_environment().get_template(template).render(**values))


def fill_page(
    title: str, subtitle: str, tiles: Sequence[Markup], sections: Sequence[Section], notes: Sequence[str]
) -> str:
    """The page as HTML; ``notes`` stand at the foot, a paragraph each."""
    return str(
        render("page.html", title=title, subtitle=subtitle, tiles=list(tiles), sections=sections, notes=notes)
    )


def tile(
    value: str, text: str, kind: str = "ours", of: str = "", share: float | None = None, subject: str = ""
) -> Markup:
    """A large number with what it is.

    Args:
        value: the number.
        text: what it is.
        kind: of the plots' kinds: its colour.
        of: what it could be at most, in small print.
        share: 0..1, drawn as a meter.
        subject: whose number it is, in bold before the text.
    """
    return _piece("tile", value, text, kind, of, share, subject)


def heading(text: str) -> Markup:
    """A line above a part of a section."""
    return _piece("heading", text)


def plots(drawn: Sequence[Markup], wide: bool = True) -> Markup:
    """Plots side by side, as many as fit."""
    return _piece("plots", drawn, wide)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    kinds: Sequence[str] = (),
    sortable: bool = False,
) -> Markup:
    """A table whose first column names the rows.

    Args:
        head: of the columns.
        rows: of cells; a cell may be a piece.
        kinds: the classes of each row.
        sortable: a press on the head of a column sorts by it, as numbers where they are.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    return _piece("table", head, cells, kinds, sortable)


def thumbnail(webp: bytes, about: str) -> Markup:
    """A small picture for a cell of a table."""
    return _piece("thumbnail", b64encode(webp).decode(), about)


def span(colours: Sequence[str], begin: float, end: float, mark: float) -> Markup:
    """A part of a colour bar for a cell of a table: ``begin`` to ``end`` of 0..1, with a mark."""
    return _piece("span", colours, begin, end, mark)


def scale(colours: Sequence[str], labels: Sequence[str]) -> Markup:
    """A colour bar with labels at even steps; ``colours`` are those of CSS."""
    return _piece("scale", colours, labels)


def legend(*swatches: Swatch) -> Markup:
    """What the colours mean."""
    return _piece("legend", swatches)


def picture(webp: bytes, about: str) -> Markup:
    """A picture as wide as the page allows, never enlarged."""
    return _piece("picture", b64encode(webp).decode(), about)


def cards(shown: Sequence[Card]) -> Markup:
    """Cards side by side, as many as fit."""
    return _piece("cards", shown)


def body(*pieces: Markup) -> Markup:
    """Pieces below each other."""
    return Markup("\n").join(pieces)


def webp(pixels: NDArray[np.uint8], longest_side: int | None = None) -> bytes:
    """(H, W) or (H, W, 3) RGB as WebP, shrunk where a side is longer than ``longest_side`` pixels."""
    image = Image.fromarray(pixels)
    scale = min(1.0, longest_side / max(image.size)) if longest_side else 1.0
    if scale < 1:
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, "WebP", quality=QUALITY)
    return stream.getvalue()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("fsidfusion.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _piece(name: str, *values: object) -> Markup:
    return Markup(getattr(_environment().get_template("pieces.html").module, name)(*values))
