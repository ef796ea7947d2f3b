"""What a comparison came to: on the terminal, as Markdown in docs/results.md, and as one HTML file."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from textwrap import fill

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from fsidfusion import __version__
from fsidfusion.evaluation.tables import open_console, score_table
from fsidfusion.report.plots import Bar, bars
from fsidfusion.studies.downstream.comparison import Run, Summary, differences, summarise
from fsidfusion.studies.downstream.inputs import HEAT, Input
from fsidfusion.studies.pages import RESULTS, write_part
from fsidfusion.studies.quality.documents import markdown_table
from fsidfusion.studies.quality.gallery import LONGEST_SIDE, QUALITY
from fsidfusion.studies.quality.report import picture_card

SPREAD_NOTE = "Mean ± standard deviation over the seeds."


@dataclass(frozen=True)
class Table:
    """Some scores of all inputs side by side."""

    title: str  # "All frames", "By night"
    columns: Mapping[str, str]  # heading -> key of the score


@dataclass(frozen=True)
class Study:
    """What was compared and how it is shown."""

    name: str  # of the section in docs/results.md: "detection"
    title: str  # "Object detection on MSRS"
    command: str  # that computes it: "fsidfusion detect compare"
    protocol: Sequence[str]  # paragraphs: data, split, learner, schedule
    tables: Sequence[Table]  # the first is the one that differences and large numbers are of
    legend: str = ""  # of the pictures


@dataclass(frozen=True)
class Card:
    """One frame in the report: the same picture under several inputs."""

    title: str
    chips: Sequence[str]  # "best ..." and "worst ...": why it is shown; the first word gives the colour
    pictures: Mapping[str, bytes]  # label -> WebP; the first and the third are compared at first


def encode_picture(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) or (H, W, 3) RGB as WebP of a bounded size, for a :class:`Card`."""
    scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    if scale < 1:
        pixels = np.asarray(
            cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WebP", quality=QUALITY)
    return stream.getvalue()


def print_tables(study: Study, runs: Sequence[Run], console: Console | None = None) -> None:
    """Print every table of the study; best means are marked with a star."""
    console = console or open_console()
    for table in study.tables:
        shown = score_table(f"{study.title}: {table.title}", "input", list(table.columns))
        for given, cells in _rows(table, runs).items():
            shown.add_row(given.name, *(f"{cell}{'*' if best else ''}" for cell, best in cells))
        console.print(shown)
    console.print(f"{SPREAD_NOTE} * best mean of the column", style="dim")


def to_markdown(study: Study, runs: Sequence[Run]) -> str:
    """The section of docs/results.md: protocol, tables, differences, weights, seeds, minutes and date."""
    dates = sorted({run.date for run in runs})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    lines = [f"## {study.title}", ""]
    for paragraph in (
        f"Written by `{study.command}`, fsidfusion {__version__}, {when}.",
        *study.protocol,
        f"{SPREAD_NOTE} **Bold**: the best mean of the column. {_record(runs)}",
    ):
        lines += [fill(paragraph, 110, break_on_hyphens=False, break_long_words=False), ""]
    for table in study.tables:
        body = [
            [given.name, *(f"**{cell}**" if best else str(cell) for cell, best in cells)]
            for given, cells in _rows(table, runs).items()
        ]
        lines += [f"### {table.title}", "", *markdown_table(["input", *table.columns], body)]
    table = study.tables[0]
    for ours in _ours(runs):
        body = [
            [given.name, *map(_signed, cells)] for given, cells in _differences(table, runs, ours).items()
        ]
        lines += [
            f"### {ours.name} above each other input",
            "",
            "Differences seed by seed: their mean ± their standard deviation.",
            "",
            *markdown_table(["than", *table.columns], body),
        ]
    weights = [[given.name, f"`{given.weights}`"] for given in _inputs(runs) if given.weights]
    lines += markdown_table(["network", "sha256 of its weights"], weights) if weights else []
    return "\n".join(lines).rstrip() + "\n"


def build_report(study: Study, runs: Sequence[Run], cards: Sequence[Card] = (), extra: str = "") -> str:
    """The report as one HTML file that fetches nothing.

    Args:
        study: what was compared.
        runs: at least one.
        cards: frames to show, best and worst.
        extra: further ``<section>`` elements, such as confusion matrices.
    """
    first, *others = (_table_section(table, runs, place) for place, table in enumerate(study.tables))
    sections = [first, *(_difference_section(study.tables[0], runs, ours) for ours in _ours(runs)), *others]
    if extra:
        sections.append(extra)
    links = [(f"table-{place}", table.title) for place, table in enumerate(study.tables)]
    if cards:
        shown = "".join(picture_card(card.title, card.title, card.pictures, card.chips) for card in cards)
        sections.append(
            '<section id="pictures"><div class="heading"><h2>Pictures</h2><span class="soft">open one to'
            f' compare. {escape(study.legend)}</span></div><div class="pairs">{shown}</div></section>'
        )
        links.append(("pictures", "Pictures"))
    seeds = len({run.seed for run in runs})
    subtitle = f"{len(_inputs(runs))} inputs, {seeds} seed{'s' * (seeds > 1)}; fsidfusion {__version__}"
    notes = [*study.protocol, f"{SPREAD_NOTE} {_record(runs)}"]
    notes += [f"{g.name}: weights sha256 {g.weights}." for g in _inputs(runs) if g.weights]
    filling = {
        "title": escape(study.title),
        "subtitle": escape(subtitle),
        "tiles": _tiles(study.tables[0], runs),
        "links": "".join(f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links),
        "sections": "\n".join(sections),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in notes),
    }
    page = (files("fsidfusion.report") / "page.html").read_text("utf-8")
    for name, text in filling.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def write_section(study: Study, runs: Sequence[Run], page: Path = RESULTS) -> Path:
    """Put the study's Markdown between its markers in docs/results.md; return the page."""
    write_part(page, study.name, to_markdown(study, runs))
    return page


def _inputs(runs: Sequence[Run]) -> list[Input]:
    return list(dict.fromkeys(run.input for run in runs))


def _ours(runs: Sequence[Run]) -> list[Input]:
    """The network that the study is about, the first one, in all its colours; none without a network."""
    networks = [given for given in _inputs(runs) if given.kind == "ours"]
    return [given for given in networks if given.weights == networks[0].weights]


def _rows(table: Table, runs: Sequence[Run]) -> dict[Input, list[tuple[Summary, bool]]]:
    """For each input its cells, and whether each is the best of its column."""
    columns = [summarise(runs, key) for key in table.columns.values()]
    best = [max((s.mean for s in c.values() if not math.isnan(s.mean)), default=math.nan) for c in columns]
    return {
        given: [(column[given], column[given].mean == top) for column, top in zip(columns, best)]
        for given in _inputs(runs)
    }


def _differences(table: Table, runs: Sequence[Run], ours: Input) -> dict[Input, list[Summary]]:
    columns = [differences(runs, key, ours) for key in table.columns.values()]
    return {given: [column[given] for column in columns] for given in _inputs(runs) if given != ours}


def _signed(difference: Summary) -> str:
    return f"+{difference}" if difference.mean > 0 else str(difference).replace("-", "−", 1)


def _record(runs: Sequence[Run]) -> str:
    """Seeds, minutes and devices in one sentence, and in another what heat colours are, if there are some."""
    minutes = [run.seconds / 60 for run in runs]
    seeds = sorted({run.seed for run in runs})
    devices = ", ".join(sorted({run.device for run in runs}))
    uneven = {sum(run.input == given for run in runs) for given in _inputs(runs)}
    stopped = "" if len(uneven) == 1 else "; not every input has had all seeds yet"
    heat = any(given.color == "heat" for given in _inputs(runs))
    return (
        f"Seeds {', '.join(map(str, seeds))}{stopped}; {np.mean(minutes):.1f} minutes a run,"
        f" {sum(minutes):.0f} in all, on {devices}."
    ) + (f" '{HEAT}' marks pictures fused in heat colours (fuse --color heat)." if heat else "")


def _tiles(table: Table, runs: Sequence[Run]) -> str:
    heading, key = next(iter(table.columns.items()))
    rows = summarise(runs, key)
    order = ("ours", "reference", "published")  # the network, both cameras stacked, each alone
    chosen = sorted((g for g in rows if g.kind in order), key=lambda given: order.index(given.kind))
    return "".join(
        f'<div class="tile {given.kind}"><b>{rows[given].mean:.3f}</b>'
        f'<div class="meter"><i style="width:{max(0.0, rows[given].mean):.0%}"></i></div>'
        f"<span>{escape(heading)} of <strong>{escape(given.name)}</strong></span></div>"
        for given in chosen[:5]
        if not math.isnan(rows[given].mean)
    )


def _table_section(table: Table, runs: Sequence[Run], place: int) -> str:
    body = "".join(
        f'<tr class="{given.kind}"><th>{escape(given.name)}</th>'
        + "".join(f'<td class="{"win" if best else ""}">{cell}</td>' for cell, best in cells)
        + "</tr>"
        for given, cells in _rows(table, runs).items()
    )
    plots = "".join(
        f'<div class="card">{_bars(heading, key, runs)}</div>' for heading, key in table.columns.items()
    )
    return (
        f'<section id="table-{place}"><div class="heading"><h2>{escape(table.title)}</h2>'
        f'<span class="soft">{SPREAD_NOTE}</span></div>{_html_table("input", table, body)}'
        f'<div class="legend"><span><i class="win"></i>best mean of the column</span></div>'
        f'<h3>Means, and the spread over the seeds</h3><div class="plots wide">{plots}</div></section>'
    )


def _difference_section(table: Table, runs: Sequence[Run], ours: Input) -> str:
    body = "".join(
        f'<tr class="{given.kind}"><th>{escape(given.name)}</th>'
        + "".join(f'<td class="{_shade(cell)}">{_signed(cell)}</td>' for cell in cells)
        + "</tr>"
        for given, cells in _differences(table, runs, ours).items()
    )
    return (
        f'<section><div class="heading"><h2>{escape(ours.name)} above each other input</h2>'
        f'<span class="soft">differences seed by seed, {escape(table.title.lower())}</span></div>'
        f"{_html_table('than', table, body)}"
        '<div class="legend"><span><i class="win"></i>above by more than the spread of the differences</span>'
        "</div></section>"
    )


def _shade(difference: Summary) -> str:
    return "win" if difference.mean > difference.spread else ""


def _html_table(corner: str, table: Table, body: str) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in (corner, *table.columns))
    return (
        f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _bars(heading: str, key: str, runs: Sequence[Run]) -> str:
    rows = summarise(runs, key)
    return bars(heading, [Bar(g.name, s.mean, str(s), g.kind, s.spread) for g, s in rows.items()])
