"""What a comparison came to: on the terminal, as Markdown in docs/results.md, and as one HTML file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from markupsafe import Markup
from rich.console import Console

from fsidfusion import __version__
from fsidfusion.evaluation.tables import open_console, score_table
from fsidfusion.report import page as pieces
from fsidfusion.report.page import Card, Cell, Section, Swatch, fill_page
from fsidfusion.report.plots import Bar, bars
from fsidfusion.studies.downstream.comparison import Run, Summary, differences, summarise
from fsidfusion.studies.downstream.inputs import HEAT, Input
from fsidfusion.studies.quality.documents import markdown_table

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


def build_report(
    study: Study, runs: Sequence[Run], cards: Sequence[Card] = (), extra: Sequence[Section] = ()
) -> str:
    """The report as one HTML file that fetches nothing.

    Args:
        study: what was compared.
        runs: at least one.
        cards: frames to show, best and worst.
        extra: further sections, such as confusion matrices.
    """
    first, *others = (_table_section(table, runs, place) for place, table in enumerate(study.tables))
    above = [_difference_section(study.tables[0], runs, ours) for ours in _ours(runs)]
    sections = [first, *above, *others, *extra]
    if cards:
        remark = f"open one to compare. {study.legend}"
        sections.append(Section("pictures", "Pictures", remark, pieces.cards(cards)))
    seeds = len({run.seed for run in runs})
    subtitle = f"{len(_inputs(runs))} inputs, {seeds} seed{'s' * (seeds > 1)}; fsidfusion {__version__}"
    notes = [*study.protocol, f"{SPREAD_NOTE} {_record(runs)}"]
    notes += [f"{g.name}: weights sha256 {g.weights}." for g in _inputs(runs) if g.weights]
    return fill_page(study.title, subtitle, _tiles(study.tables[0], runs), sections, notes)


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


def _tiles(table: Table, runs: Sequence[Run]) -> list[Markup]:
    heading, key = next(iter(table.columns.items()))
    rows = summarise(runs, key)
    order = ("ours", "reference", "published")  # the network, both cameras stacked, each alone
    chosen = sorted((g for g in rows if g.kind in order), key=lambda given: order.index(given.kind))
    means = [(given, rows[given].mean) for given in chosen[:5] if not math.isnan(rows[given].mean)]
    return [
        pieces.tile(f"{mean:.3f}", heading, given.kind, share=max(0.0, mean), subject=given.name)
        for given, mean in means
    ]


def _table_section(table: Table, runs: Sequence[Run], place: int) -> Section:
    rows = _rows(table, runs)
    lines: list[list[str | Cell]] = [
        [given.name, *(Cell(str(cell), "win" if best else "") for cell, best in cells)]
        for given, cells in rows.items()
    ]
    body = pieces.body(
        pieces.table(["input", *table.columns], lines, [given.kind for given in rows]),
        pieces.legend(Swatch("best mean of the column", "win")),
        pieces.heading("Means, and the spread over the seeds"),
        pieces.plots([_bars(heading, key, runs) for heading, key in table.columns.items()]),
    )
    return Section(f"table-{place}", table.title, SPREAD_NOTE, body)


def _difference_section(table: Table, runs: Sequence[Run], ours: Input) -> Section:
    rows = _differences(table, runs, ours)
    lines: list[list[str | Cell]] = [
        [given.name, *(Cell(_signed(c), "win" if c.mean > c.spread else "") for c in cells)]
        for given, cells in rows.items()
    ]
    body = pieces.body(
        pieces.table(["than", *table.columns], lines, [given.kind for given in rows]),
        pieces.legend(Swatch("above by more than the spread of the differences", "win")),
    )
    remark = f"differences seed by seed, {table.title.lower()}"
    return Section("", f"{ours.name} above each other input", remark, body)


def _bars(heading: str, key: str, runs: Sequence[Run]) -> Markup:
    rows = summarise(runs, key)
    return bars(heading, [Bar(g.name, s.mean, str(s), g.kind, s.spread) for g, s in rows.items()])
