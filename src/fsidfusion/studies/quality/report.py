"""One HTML file with everything in it: tables, plots and pictures; it fetches nothing and runs offline."""

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from fsidfusion import __version__
from fsidfusion.evaluation.methods import SECOND_WEIGHTS, Model, all_weights
from fsidfusion.evaluation.published import BEST, COLUMNS, REFERENCE, published_pairs, published_rows, stands
from fsidfusion.evaluation.sets import MEDICAL_NOTE
from fsidfusion.evaluation.tables import format_score
from fsidfusion.report import page as pieces
from fsidfusion.report.page import Card, Cell, Section, Swatch, fill_page
from fsidfusion.report.plots import Bar, Point, bars, scatter
from fsidfusion.studies.quality.gallery import Shown
from fsidfusion.studies.quality.scores import SetScores
from fsidfusion.studies.quality.standings import NOTES, Row, Standing, set_rows, standings

TITLE = "Fusion quality"
_SCATTERS = (("VIF", "Qabf"), ("SF", "MI"))
_PAIRWISE = "VIF"  # of every pair: the first row against the baseline


def build_report(results: Sequence[SetScores], models: Sequence[Model], gallery: Sequence[Shown]) -> str:
    """The report as HTML.

    Args:
        results: at least one set; the first evaluation of each is the row that the report is about.
        models: what was scored, for the record of weights.
        gallery: the pairs to show, by set.
    """
    ranking = standings(results)
    number = sum(len(result.pairs.pairs) for result in results)
    shown = {name: list(items) for name, items in groupby(gallery, key=lambda item: item.set)}
    sections = [_won_section(ranking)] if ranking else []
    sections += [_set_section(result, shown.get(result.pairs.name, [])) for result in results]
    subtitle = (
        f"{_count(len(results), 'set')}, {_count(number, 'pair')}, {_count(len(models), 'model')};"
        f" metrics in the convention of the published tables; fsidfusion {__version__}"
    )
    return fill_page(TITLE, subtitle, _tiles(ranking, results), sections, _notes(results, models))


def _tiles(ranking: Sequence[Standing], results: Sequence[SetScores]) -> list[Markup]:
    """The first row in a few large numbers, and a baseline beside it."""
    if not ranking:
        means = [(result.pairs.name, result.evaluations[0]) for result in results]
        return [
            pieces.tile(format_score(m, mean.mean[m]), f"mean {m} on {name}", subject=mean.name)
            for name, mean in means
            for m in _SCATTERS[0]
        ]
    ours = ranking[0]
    rivals = [row for row in ranking if row.kind == "baseline" and row.name.split(",")[0] != ours.name]
    tiles = []
    for row in [ours, *rivals[:1]]:
        for count, what in zip(row.total, ("the published FSIDFusion", "the best published value")):
            text, share = f"is at least equal to {what} in so many cells", count / row.cells
            tiles.append(pieces.tile(str(count), text, row.kind, str(row.cells), share, row.name))
    return tiles


def _won_section(ranking: Sequence[Standing]) -> Section:
    head = ["method", *ranking[0].by_set, f"≥ {REFERENCE}", "≥ best of each column"]
    rows: list[list[str | Cell]] = []
    for standing in ranking:
        by_set = [Cell(f"{first} · {second}", _shade(first)) for first, second in standing.by_set.values()]
        totals = [Cell(f"{total} / {standing.cells}", "total") for total in standing.total]
        rows.append([standing.name, *by_set, *totals])
    about = (
        f"a · b: of {len(COLUMNS)} columns, a are at least equal to the published {REFERENCE},"
        " b to the best published value of the column"
    )
    body = pieces.body(
        pieces.table(head, rows, [standing.kind for standing in ranking]),
        pieces.legend(Swatch(about), Swatch("all columns", "win"), Swatch("more than half", "even")),
    )
    return Section("won", "Cells won", "of the published tables, at their two decimals", body)


def _shade(cells: int) -> str:
    return "win" if cells == len(COLUMNS) else "even" if 2 * cells > len(COLUMNS) else ""


def _set_section(result: SetScores, gallery: Sequence[Shown]) -> Section:
    name, rows = result.pairs.name, set_rows(result)
    parts = [
        _table(name, rows),
        pieces.heading("Means"),
        pieces.plots(_bar_plots(rows), wide=False),
        pieces.heading("How they lie"),
        pieces.plots(_scatter_plots(result, rows)),
    ]
    if gallery:
        about = f"Best and worst pairs of {result.evaluations[0].name}; open one to compare"
        parts += [pieces.heading(about), pieces.cards([_card(shown) for shown in gallery])]
    remark = f"{_count(len(result.pairs.pairs), 'pair')}{_pairs_remark(result)}"
    return Section(_anchor(name), name, remark, pieces.body(*parts))


def _pairs_remark(result: SetScores) -> str:
    if not published_rows(result.pairs.name):
        return "; no published table"
    number = published_pairs(result.pairs.name)
    return "" if number == len(result.pairs.pairs) else f"; the published means are over {number} others"


def _table(name: str, rows: Sequence[Row]) -> Markup:
    printed = published_rows(name)
    head = ["mean", *COLUMNS, *((f"≥ {REFERENCE}", "≥ best") if printed else ())]
    lines: list[list[str | Cell]] = []
    kinds = []
    for place, row in enumerate(rows):
        line: list[str | Cell] = [row.name]
        line += [Cell(row.text(metric), _verdict(row, metric, printed)) for metric in COLUMNS]
        if printed:
            counts = (row.above_reference, row.above_best)
            line += [Cell(f"{count}/{len(COLUMNS)}", "count") for count in counts]
        first = " first" if place and row.kind != rows[place - 1].kind and row.kind != "best" else ""
        lines.append(line)
        kinds.append(row.kind + first)
    shown = pieces.table(head, lines, kinds)
    if not printed:
        return shown
    best = Swatch("at least the best published value of the column", "win")
    return pieces.body(shown, pieces.legend(best, Swatch(f"at least the published {REFERENCE}", "even")))


def _verdict(row: Row, metric: str, printed: dict[str, dict[str, float]]) -> str:
    for method, shade in ((BEST, "win"), (REFERENCE, "even")):
        if row.is_ours and printed and stands(row.means[metric], printed[method][metric]) != "below":
            return shade
    return ""


def _bar_plots(rows: Sequence[Row]) -> list[Markup]:
    chosen = [row for row in rows if row.is_ours and "," not in row.name]
    chosen += [row for row in rows if row.kind in ("reference", "best")]
    plots = []
    for metric in COLUMNS:
        lines = [
            Bar("best published" if r.kind == "best" else r.name, r.means[metric], r.text(metric), r.kind)
            for r in chosen
        ]
        plots.append(bars(metric, lines))
    return plots


def _scatter_plots(result: SetScores, rows: Sequence[Row]) -> list[Markup]:
    dots = [row for row in rows if row.kind != "best"]
    plots = []
    for x, y in _SCATTERS:
        points = [
            Point(
                row.name,
                row.means[x],
                row.means[y],
                row.kind,
                row.kind != "published" and "," not in row.name,
            )
            for row in dots
        ]
        plots.append(scatter(f"{x} and {y}, means", x, y, points))
    ours = result.evaluations[0]
    rival = next((e for e in result.evaluations if e.name == "maximum" and e is not ours), None)
    if rival:
        points = [
            Point(pair, row[_PAIRWISE], ours.scores[pair][_PAIRWISE], "ours")
            for pair, row in rival.scores.items()
        ]
        title = f"{_PAIRWISE} of every pair (above the line: better)"
        plots.append(scatter(title, rival.name, ours.name, points, diagonal=True))
    return plots


def _card(shown: Shown) -> Card:
    chips = [
        f"{word} {metric} {format_score(metric, shown.scores[metric])}"
        for word, metric in (reason.split() for reason in shown.reasons)
    ]
    return Card(shown.pair, chips, shown.pictures, f"{shown.set} {shown.pair}")


def _notes(results: Sequence[SetScores], models: Sequence[Model]) -> list[str]:
    notes = list(NOTES)
    if any(result.pairs.name.startswith("MRI_") for result in results):
        notes.append(MEDICAL_NOTE)
    notes += [
        f"{model.name}: weights sha256 {model.weights}, on {model.fuser.device} in {model.fuser.precision}."
        for model in all_weights(models)
    ]
    notes += [SECOND_WEIGHTS] if any(model.medical for model in models) else []
    return notes + [
        f"{result.pairs.name}, {evaluation.name}: {metric} is undefined on {_count(len(pairs), 'pair')}."
        for result in results
        for evaluation in result.evaluations
        for metric, pairs in evaluation.undefined.items()
        if metric in COLUMNS
    ]


def _anchor(name: str) -> str:
    return "set-" + "".join(c if c.isalnum() else "-" for c in name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
