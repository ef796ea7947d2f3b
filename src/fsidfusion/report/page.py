"""The page that all reports share: one file that fetches nothing, with tiles, sections and notes."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files


@dataclass(frozen=True)
class Section:
    """A part of the page; ``body`` is HTML."""

    anchor: str
    title: str
    remark: str
    body: str


def fill_page(
    title: str, subtitle: str, tiles: str, sections: Sequence[Section], notes: Sequence[str]
) -> str:
    """The page as HTML.

    Args:
        title: plain text.
        subtitle: plain text.
        tiles: HTML, see :func:`tile`.
        sections: in their order; each is linked at the top.
        notes: plain text, at the foot.
    """
    page = (files("fsidfusion.report") / "page.html").read_text("utf-8")
    filling = {
        "title": escape(title),
        "subtitle": escape(subtitle),
        "tiles": tiles,
        "links": "".join(f'<a href="#{part.anchor}">{escape(part.title)}</a>' for part in sections),
        "sections": "\n".join(
            f'<section id="{part.anchor}"><div class="heading"><h2>{escape(part.title)}</h2>'
            f'<span class="soft">{escape(part.remark)}</span></div>{part.body}</section>'
            for part in sections
        ),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in notes),
    }
    for name, text in filling.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def tile(value: str, text: str, kind: str = "ours") -> str:
    """A large number with what it is."""
    return f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(text)}</span></div>'


def cards(plots: Sequence[str], wide: bool = True) -> str:
    """Plots side by side, as many as fit."""
    shown = "".join(f'<div class="card">{plot}</div>' for plot in plots)
    return f'<div class="plots{" wide" if wide else ""}">{shown}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str] = ()) -> str:
    """A table of plain text whose first column names the rows; ``kinds``: the class of each row."""
    lines = []
    for place, row in enumerate(rows):
        kind = f' class="{kinds[place]}"' if kinds else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        lines.append(f"<tr{kind}><th>{escape(row[0])}</th>{cells}</tr>")
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<div class="card scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def picture(webp: bytes, about: str) -> str:
    """A picture as wide as the page allows, never enlarged."""
    return (
        f'<div class="card scroll"><img alt="{escape(about)}" style="max-width:100%;display:block"'
        f' src="data:image/webp;base64,{b64encode(webp).decode()}"></div>'
    )
