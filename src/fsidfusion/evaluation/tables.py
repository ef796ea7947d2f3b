"""Evaluations as a table on the terminal, as CSV and as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fsidfusion.evaluation.comparison import (
    LEVEL,
    RESAMPLES,
    SEED,
    Interval,
    Rank,
    mean_intervals,
    pair_wins,
    ranks,
)
from fsidfusion.evaluation.evaluate import Evaluation
from fsidfusion.evaluation.published import REFERENCE, Verdict, cells_won, published_rows, stands
from fsidfusion.evaluation.visibility import SOURCES, subsets, summarise
from fsidfusion.images.atomic import write_text
from fsidfusion.images.text import to_csv
from fsidfusion.metrics import find_metric

SIGNS: dict[Verdict, str] = {"above": "▲", "equal": "=", "below": "▼"}
_VERDICT_STYLES: dict[Verdict, str] = {"above": "green", "equal": "green", "below": "red"}
_RANK_SIGNS: dict[Rank, tuple[str, str]] = {1: ("*", "bold"), 2: ("+", "underline")}
_WIDE = 240  # columns of a table that is not on a terminal: nothing is cut or wrapped


def format_score(metric: str, value: float, convention: str = "cddfuse") -> str:
    """Two decimals, as published tables print, or three for a plain number such as VIF."""
    return f"{value:.{2 if find_metric(metric, convention).unit else 3}f}"


def print_means(
    evaluations: Sequence[Evaluation],
    title: str,
    published: str | None = None,
    console: Console | None = None,
) -> None:
    """Print a row of means for each evaluation and, with several, the interval of each mean, best and second.

    Args:
        evaluations: of one set under one convention, at least one.
        title: above the table.
        published: the set whose published rows are printed below, each value with a sign that says whether
            the first evaluation is above, equal or below it at two decimals.
        console: where to print; standard output by default.
    """
    console = console or open_console()
    marks = ranks([evaluation.mean for evaluation in evaluations], evaluations[0].convention)
    intervals = [mean_intervals(evaluation) if len(evaluations) > 1 else {} for evaluation in evaluations]
    rows = published_rows(published) if published else {}
    ours = evaluations[0].mean

    def build(metrics: Sequence[str]) -> Table:
        table = _open_table(title, "mean", metrics, evaluations[0].convention)
        for evaluation, mark, interval in zip(evaluations, marks, intervals):
            cells = [_mean_cell(evaluation, metric, mark, interval) for metric in metrics]
            table.add_row(evaluation.name, *cells)
        table.add_section()
        for name, row in rows.items():
            won = f"{cells_won(ours, row)}/{len(row.keys() & ours.keys())}"
            label = Text(f"{name}  {won}", "bold" if name == REFERENCE else "")
            table.add_row(label, *(_published_cell(row.get(metric), ours[metric]) for metric in metrics))
        return table

    _print_fitting(console, build, evaluations[0].metrics)
    if len(evaluations) > 1:
        console.print(f"* best  + second   in brackets: {LEVEL}% bootstrap interval of the mean", style="dim")
    if rows:
        console.print(
            f"published rows: {evaluations[0].name} is ▲ above, = equal or ▼ below the printed value at two"
            " decimals; n/m: columns where it is at least equal",
            style="dim",
        )


def print_wins(evaluations: Sequence[Evaluation], console: Console | None = None) -> None:
    """Print on how many pairs the first evaluation is better, equal and worse than each of the others."""
    first, *others = evaluations
    wins = {other.name: pair_wins(first, other) for other in others}

    def build(metrics: Sequence[str]) -> Table:
        title = f"pairs on which {first.name} is better / equal / worse"
        table = _open_table(title, "than", metrics, first.convention)
        for name, row in wins.items():
            table.add_row(name, *("{} / {} / {}".format(*row[metric]) for metric in metrics))
        return table

    _print_fitting(console or open_console(), build, first.metrics)


def print_visibility(evaluations: Sequence[Evaluation], title: str, console: Console | None = None) -> None:
    """Print how visible the labelled targets are in the sources and in every row, and how many are kept."""
    targets = evaluations[0].targets
    console = console or open_console()
    for name, group in subsets(targets).items():
        table = score_table(f"{name}: {len(group)} targets{title}", "", ("visibility", "kept"))
        for row in (*SOURCES, *(evaluation.name for evaluation in evaluations)):
            share = summarise(group, row)
            seen, kept = share.visibility_interval, share.kept_interval
            table.add_row(
                row,
                f"{share.visibility:.3f}  [{seen[0]:.3f}, {seen[1]:.3f}]",
                f"{share.kept:.2f}  [{kept[0]:.2f}, {kept[1]:.2f}]",
            )
        console.print(table)
    console.print(
        "visibility: |2 AUC - 1| of core against ring, 0..1; kept: targets with at least nine tenths of the"
        f" better source's; in brackets: {LEVEL}% bootstrap interval over frames",
        style="dim",
    )


def score_table(title: str, corner: str, columns: Sequence[str]) -> Table:
    """An empty table to print: names at the left under ``corner``, numbers at the right under ``columns``."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(corner, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def open_console() -> Console:
    """Standard output; wide where it is not a terminal, so that no table is cut."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def write_csv(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """One line for each pair and evaluation; an undefined score is an empty cell.

    InputError as write_text.
    """
    rows: list[tuple[object, ...]] = [("method", "pair", *evaluations[0].metrics)]
    for evaluation in evaluations:
        for pair, row in evaluation.scores.items():
            rows.append((evaluation.name, pair, *("" if v != v else float(v) for v in row.values())))
    write_text(path, to_csv(rows))


def as_json(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """One evaluation as its record; several as ``results`` by name, with their comparison."""
    visible = _visibility(evaluations)
    if len(evaluations) == 1:
        return {"name": evaluations[0].name, **evaluations[0].record(), **visible}
    return {
        "results": {evaluation.name: evaluation.record() for evaluation in evaluations},
        "comparison": _comparison(evaluations),
        **visible,
    }


def _visibility(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """By group of targets and row; nothing where no target was looked for."""
    groups = subsets(evaluations[0].targets)
    if not groups:
        return {}
    rows = (*SOURCES, *(evaluation.name for evaluation in evaluations))
    return {"visibility": {n: {row: asdict(summarise(g, row)) for row in rows} for n, g in groups.items()}}


def _comparison(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    intervals = {e.name: mean_intervals(e) for e in evaluations}
    wins: dict[str, dict[str, Any]] = {evaluation.name: {} for evaluation in evaluations}
    for ours, theirs in permutations(evaluations, 2):
        wins[ours.name][theirs.name] = pair_wins(ours, theirs)
    return {
        "interval_percent": LEVEL,
        "resamples": RESAMPLES,
        "seed": SEED,
        "interval": {
            name: {metric: None if pair[0] != pair[0] else pair for metric, pair in row.items()}
            for name, row in intervals.items()
        },
        "better_equal_worse": wins,
    }


def _open_table(title: str, corner: str, metrics: Sequence[str], convention: str) -> Table:
    arrows = ("" if find_metric(metric, convention).higher_is_better else " ↓" for metric in metrics)
    return score_table(title, corner, [metric + arrow for metric, arrow in zip(metrics, arrows)])


def _print_fitting(console: Console, build: Callable[[Sequence[str]], Table], metrics: Sequence[str]) -> None:
    """Print a table in as many blocks of columns as the terminal's width asks for: numbers are never cut."""
    number = len(metrics)
    unbounded = console.options.update_width(10_000)
    while number > 1 and Measurement.get(console, unbounded, build(metrics[:number])).maximum > console.width:
        number -= 1
    for start in range(0, len(metrics), number):
        console.print(build(metrics[start : start + number]))


def _mean_cell(
    evaluation: Evaluation, metric: str, mark: dict[str, Rank], interval: dict[str, Interval]
) -> Text:
    sign, style = _RANK_SIGNS[mark[metric]] if metric in mark else ("", "")
    cell = Text(format_score(metric, evaluation.mean[metric], evaluation.convention) + sign, style=style)
    if interval:
        low, high = (format_score(metric, value, evaluation.convention) for value in interval[metric])
        cell.append(f"\n[{low}, {high}]", style="dim not bold not underline")
    return cell


def _published_cell(printed: float | None, ours: float) -> Text:
    if printed is None:
        return Text("")
    verdict = stands(ours, printed)
    return Text(f"{printed:.2f} {SIGNS[verdict]}", style=_VERDICT_STYLES[verdict])
