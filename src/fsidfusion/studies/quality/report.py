"""One HTML file with everything in it: tables, plots and pictures; it fetches nothing and runs offline."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

from fsidfusion import __version__
from fsidfusion.evaluation.methods import SECOND_WEIGHTS, Model, all_weights
from fsidfusion.evaluation.published import BEST, COLUMNS, REFERENCE, published_pairs, published_rows, stands
from fsidfusion.evaluation.sets import MEDICAL_NOTE
from fsidfusion.evaluation.tables import format_score
from fsidfusion.report.plots import Bar, Kind, Point, bars, scatter
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
    links = [("won", "Cells won")] * bool(ranking) + [(_anchor(r.pairs.name), r.pairs.name) for r in results]
    shown = {name: list(items) for name, items in groupby(gallery, key=lambda item: item.set)}
    sections = [_won_section(ranking)] if ranking else []
    sections += [_set_section(result, shown.get(result.pairs.name, [])) for result in results]
    page = (files("fsidfusion.report") / "page.html").read_text("utf-8")
    filling = {
        "title": TITLE,
        "subtitle": f"{_count(len(results), 'set')}, {_count(number, 'pair')},"
        f" {_count(len(models), 'model')}; metrics in the convention of the published tables;"
        f" fsidfusion {__version__}",
        "tiles": _tiles(ranking, results),
        "links": "".join(f'<a href="#{anchor}">{escape(text)}</a>' for anchor, text in links),
        "sections": "\n".join(sections),
        "notes": _notes(results, models),
    }
    for name, text in filling.items():
        page = page.replace("{{" + name + "}}", text)
    return page


def _tiles(ranking: Sequence[Standing], results: Sequence[SetScores]) -> str:
    """The first row in a few large numbers, and a baseline beside it."""
    if not ranking:
        means = [(result.pairs.name, result.evaluations[0]) for result in results]
        return "".join(
            _tile("ours", format_score(m, mean.mean[m]), escape(f"mean {m} of {mean.name} on {name}"))
            for name, mean in means
            for m in _SCATTERS[0]
        )
    ours = ranking[0]
    rivals = [row for row in ranking if row.kind == "baseline" and row.name.split(",")[0] != ours.name]
    tiles = []
    for row in [ours, *rivals[:1]]:
        for count, what in zip(row.total, ("the published FSIDFusion", "the best published value")):
            value = f"{count}<small> / {row.cells}</small>"
            text = f"cells where <strong>{escape(row.name)}</strong> is at least equal to {what}"
            meter = f'<div class="meter"><i style="width:{count / row.cells:.0%}"></i></div>'
            tiles.append(_tile(row.kind, value, text, meter))
    return "".join(tiles)


def _tile(kind: Kind, value: str, text: str, meter: str = "") -> str:
    return f'<div class="tile {kind}"><b>{value}</b>{meter}<span>{text}</span></div>'


def _won_section(ranking: Sequence[Standing]) -> str:
    heads = ["method", *map(escape, ranking[0].by_set), f"&ge; {REFERENCE}", "&ge; best of each column"]
    body = []
    for standing in ranking:
        cells = [
            f'<td class="{_shade(first)}">{first} &middot; {second}</td>'
            for first, second in standing.by_set.values()
        ]
        cells += [f"<td><strong>{total}</strong> / {standing.cells}</td>" for total in standing.total]
        body.append(f'<tr class="{standing.kind}"><th>{escape(standing.name)}</th>{"".join(cells)}</tr>')
    head = "".join(f"<th>{text}</th>" for text in heads)
    about = (
        f"a &middot; b: of {len(COLUMNS)} columns, a are at least equal to the published {REFERENCE},"
        " b to the best published value of the column"
    )
    return (
        '<section id="won"><div class="heading"><h2>Cells won</h2>'
        '<span class="soft">of the published tables, at their two decimals</span></div>'
        f'<div class="card scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
        f'<div class="legend"><span>{about}</span><span><i class="win"></i>all columns</span>'
        '<span><i class="even"></i>more than half</span></div></section>'
    )


def _shade(cells: int) -> str:
    return "win" if cells == len(COLUMNS) else "even" if 2 * cells > len(COLUMNS) else ""


def _set_section(result: SetScores, gallery: Sequence[Shown]) -> str:
    name, rows = result.pairs.name, set_rows(result)
    parts = [
        f'<section id="{_anchor(name)}"><div class="heading"><h2>{escape(name)}</h2><span class="soft">'
        f"{_count(len(result.pairs.pairs), 'pair')}{_pairs_remark(result)}</span></div>",
        _table(name, rows),
        f'<h3>Means</h3><div class="plots">{_bar_plots(rows)}</div>',
        f'<h3>How they lie</h3><div class="plots wide">{_scatter_plots(result, rows)}</div>',
    ]
    if gallery:
        cards = "".join(map(_pair_card, gallery))
        about = f"Best and worst pairs of {escape(result.evaluations[0].name)}"
        parts.append(f'<h3>{about}; open one to compare</h3><div class="pairs">{cards}</div>')
    return "\n".join([*parts, "</section>"])


def _pairs_remark(result: SetScores) -> str:
    if not published_rows(result.pairs.name):
        return "; no published table"
    number = published_pairs(result.pairs.name)
    return "" if number == len(result.pairs.pairs) else f"; the published means are over {number} others"


def _table(name: str, rows: Sequence[Row]) -> str:
    printed = published_rows(name)
    head = "".join(f"<th>{column}</th>" for column in ("mean", *COLUMNS))
    if printed:
        head += f"<th>&ge; {REFERENCE}</th><th>&ge; best</th>"
    body = []
    for place, row in enumerate(rows):
        cells = [
            f'<td class="{_verdict(row, metric, printed)}">{row.text(metric)}</td>' for metric in COLUMNS
        ]
        if printed:
            counts = (row.above_reference, row.above_best)
            cells += [f'<td class="count">{count}/{len(COLUMNS)}</td>' for count in counts]
        first = " first" if place and row.kind != rows[place - 1].kind and row.kind != "best" else ""
        body.append(f'<tr class="{row.kind}{first}"><th>{escape(row.name)}</th>{"".join(cells)}</tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    legend = (
        '<div class="legend"><span><i class="win"></i>at least the best published value of the column</span>'
        f'<span><i class="even"></i>at least the published {REFERENCE}</span></div>'
    )
    return f'<div class="card scroll">{table}</div>{legend if printed else ""}'


def _verdict(row: Row, metric: str, printed: dict[str, dict[str, float]]) -> str:
    for method, shade in ((BEST, "win"), (REFERENCE, "even")):
        if row.is_ours and printed and stands(row.means[metric], printed[method][metric]) != "below":
            return shade
    return ""


def _bar_plots(rows: Sequence[Row]) -> str:
    chosen = [row for row in rows if row.is_ours and "," not in row.name]
    chosen += [row for row in rows if row.kind in ("reference", "best")]
    plots = []
    for metric in COLUMNS:
        lines = [
            Bar("best published" if r.kind == "best" else r.name, r.means[metric], r.text(metric), r.kind)
            for r in chosen
        ]
        plots.append(f'<div class="card">{bars(metric, lines)}</div>')
    return "".join(plots)


def _scatter_plots(result: SetScores, rows: Sequence[Row]) -> str:
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
    return "".join(f'<div class="card">{plot}</div>' for plot in plots)


def picture_card(name: str, title: str, pictures: Mapping[str, bytes], chips: Sequence[str]) -> str:
    """A card that opens the viewer.

    Args:
        name: shown above the viewer.
        title: shown below the pictures.
        pictures: label -> WebP; the viewer begins with the first and the third.
        chips: short remarks; those that begin with "best" or "worst" are coloured.
    """
    figures = "".join(
        f'<figure><img alt="{escape(label)}" src="data:image/webp;base64,{b64encode(picture).decode()}">'
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for label, picture in pictures.items()
    )
    shown = "".join(
        f'<span class="chip {escape(chip.partition(" ")[0])}">{escape(chip)}</span>' for chip in chips
    )
    return (
        f'<button class="pair card" data-name="{escape(name)}">'
        f'<div class="pictures">{figures}</div>'
        f'<div class="text"><b>{escape(title)}</b><div class="chips">{shown}</div></div></button>'
    )


def _pair_card(shown: Shown) -> str:
    chips = [
        f"{word} {metric} {format_score(metric, shown.scores[metric])}"
        for word, metric in (reason.split() for reason in shown.reasons)
    ]
    return picture_card(f"{shown.set} {shown.pair}", shown.pair, shown.pictures, chips)


def _notes(results: Sequence[SetScores], models: Sequence[Model]) -> str:
    notes = [escape(note) for note in NOTES]
    if any(result.pairs.name.startswith("MRI_") for result in results):
        notes.append(MEDICAL_NOTE)
    notes += [
        f"{escape(model.name)}: weights sha256 <code>{model.weights}</code>,"
        f" on {model.fuser.device} in {model.fuser.precision}."
        for model in all_weights(models)
    ]
    notes += [SECOND_WEIGHTS] if any(model.medical for model in models) else []
    notes += [
        escape(
            f"{result.pairs.name}, {evaluation.name}: {metric} is undefined on {_count(len(pairs), 'pair')}."
        )
        for result in results
        for evaluation in result.evaluations
        for metric, pairs in evaluation.undefined.items()
        if metric in COLUMNS
    ]
    return "".join(f"<p>{note}</p>" for note in notes)


def _anchor(name: str) -> str:
    return "set-" + "".join(c if c.isalnum() else "-" for c in name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
