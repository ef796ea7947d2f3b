"""The results as Markdown and CSV, and in the project's own pages: docs/results.md, README.md and cards."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.evaluation.methods import SECOND_WEIGHTS, Model, all_weights
from fsidfusion.evaluation.published import (
    BEST,
    COLUMNS,
    REFERENCE,
    published_pairs,
    published_rows,
    published_sets,
    stands,
)
from fsidfusion.evaluation.sets import MEDICAL_NOTE
from fsidfusion.fusion.rules import RULES
from fsidfusion.images.atomic import write_text
from fsidfusion.images.files import is_lossy_webp
from fsidfusion.images.sets import PairSet
from fsidfusion.images.text import to_csv as csv_text
from fsidfusion.studies.pages import read_part, write_part
from fsidfusion.studies.quality.scores import METRICS, CardRow, SetScores
from fsidfusion.studies.quality.standings import NOTES, Row, set_rows, standings

README_PART, RESULTS_PART = "results", "quality"
GENTLE = tuple(metric for metric in METRICS if metric not in COLUMNS)  # CC, SCD, PSNR, SSIM
_README_BASELINE = "maximum"
_LEGEND = (
    "**Bold**: at least equal to the published FSIDFusion, at its two decimals; ▲: at least equal to the best"
    " published value of the column."
)


def to_markdown(results: Sequence[SetScores], models: Sequence[Model]) -> str:
    """All tables as Markdown, with the weights' sha256 and how to get them again."""
    lines = ["## Fusion quality", ""]
    lines += [f"Written by `fsidfusion benchmark quality`, fsidfusion {__version__}.", ""]
    lines += _weights(models, results)
    second = [SECOND_WEIGHTS] if any(model.medical for model in models) else []
    for paragraph in (*second, *NOTES, _LEGEND):
        lines += [fill(paragraph, 110), ""]
    ranking = standings(results)
    if ranking:
        sets = list(ranking[0].by_set)
        lines += [
            "### Cells won",
            "",
            f"Of the {len(COLUMNS)} columns of each set: at least equal to FSIDFusion / to the best of all.",
            "",
            *markdown_table(
                ["", *sets, "≥ FSIDFusion", "≥ best of each column"],
                [
                    [
                        standing.name,
                        *(f"{first} / {second}" for first, second in standing.by_set.values()),
                        *(f"{total} of {standing.cells}" for total in standing.total),
                    ]
                    for standing in ranking
                ],
            ),
        ]
    for result in results:
        lines += _set_lines(result)
    return "\n".join(lines).rstrip() + "\n"


def to_csv(results: Sequence[SetScores]) -> str:
    """One line for each set and row, ours and published; a mean that does not exist is an empty cell."""
    rows: list[tuple[object, ...]] = [
        ("set", "pairs", "kind", "method", *METRICS, "at_least_fsidfusion", "at_least_best")
    ]
    for result in results:
        name = result.pairs.name
        for row in set_rows(result):
            pairs = len(result.pairs.pairs) if row.is_ours else published_pairs(name)
            means = (row.means.get(metric, "") for metric in METRICS)
            rows.append((name, pairs, row.kind, row.name, *means, row.above_reference, row.above_best))
    return csv_text(rows)


def check_docs(
    root: Path, sets: Sequence[PairSet], models: Sequence[Model], kept: Sequence[str] = ()
) -> None:
    """Check before measuring that :func:`write_docs` can write the whole of the pages.

    Raises:
        InputError: a page without its markers, or a set of the published tables, a shipped network or a
            baseline that is not among what is measured.
    """
    from fsidfusion.network.names import shipped_networks

    _pages(root)
    wanted = [*published_sets(), *shipped_networks(), *RULES]
    given = {found.name for found in sets} | {model.name for model in models} | set(kept)
    missing = [name for name in wanted if name not in given]
    if missing:
        raise InputError(f"the pages tell of all sets and models, but {', '.join(missing)} would be missing")


def write_docs(root: Path, results: Sequence[SetScores], models: Sequence[Model]) -> list[Path]:
    """Write the parts of docs/results.md and README.md that tell of quality, and the scores in the cards.

    Args:
        root: of a checkout of this project.
        results: of every set that the pages report.
        models: what was scored; the cards of shipped networks are updated.

    Returns:
        the files written.

    Raises:
        InputError: a page without its markers (nothing is written then), or a failed write.
    """
    readme, page = _pages(root)
    write_part(readme, README_PART, readme_table(results, models))
    write_part(page, RESULTS_PART, to_markdown(results, models))
    written = [readme, page]
    for model in all_weights(models):
        card = root / "src" / "fsidfusion" / "weights" / f"{model.name}.json"
        if card.exists():
            scored = [r for r in results if any(m.suited(r.pairs.task) is model for m in models)]
            content = {**json.loads(card.read_text("utf-8")), "scores": card_scores(scored, model)}
            write_text(card, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            written.append(card)
    return written


def readme_table(results: Sequence[SetScores], models: Sequence[Model]) -> str:
    """The short table: networks as they are written by default, one baseline, and the published row."""
    cards = _from_cards(results)
    networks = [*(model.rows[0] for model in models if model.weights), *(card.name for card in cards)]
    lines = [
        f"- **{row.name}**: {row.total[0]} of {row.cells} cells at least equal to the published FSIDFusion,"
        f" {row.total[1]} to the best published value of the column"
        for row in standings(results)
        if row.name in (*networks, _README_BASELINE)
    ]
    body = []
    for result in results:
        for line in set_rows(result):
            if line.name in (*networks, _README_BASELINE, REFERENCE):
                name = f"{line.name}, published" if line.kind == "reference" else line.name
                body.append([result.pairs.name, name, *_cells(line, result.pairs.name)])
    files = [(network.name, network.weights) for network in all_weights(models)]
    files += [(card.name, card.weights) for card in cards]
    hashes = [f"Weights: {name} `{weights}`." for name, weights in files]
    table = markdown_table(["set", "method", *COLUMNS], body)
    lossy = [result.pairs.name for result in results if holds_lossy(result)]
    medical = any(result.pairs.name.startswith("MRI_") for result in results)
    copies = [f"{' and '.join(lossy)}: scored on lossy copies of the pictures."] if lossy else []
    remarks = [_LEGEND, *copies, *([MEDICAL_NOTE] if medical else []), *hashes]
    ending = fill(
        f"{' '.join(remarks)} All rows, and CC, SCD, PSNR and SSIM, in which networks of this family are"
        " below gentler ones: [docs/results.md](docs/results.md).",
        118,
        break_on_hyphens=False,
    )
    return "\n".join([*lines, "", *table, ending, ""])


def card_scores(results: Sequence[SetScores], model: Model) -> dict[str, Any]:
    """What a model card holds of the scores: means of the default range, rounded to four decimals."""
    sets = {}
    for result in results:
        evaluation = next(e for e in result.evaluations if e.name == model.rows[0])
        means = {m: None if math.isnan(value) else round(value, 4) for m, value in evaluation.mean.items()}
        sets[result.pairs.name] = {"pairs": len(evaluation.scores), **means}
    return {"weights_sha256": model.weights, "range": model.ranges[0], "convention": "cddfuse", "sets": sets}


def holds_lossy(result: SetScores) -> bool:
    """Whether a set is scored on pictures that were compressed with loss on their way here: WebP."""
    files = (path for pair in result.pairs.pairs for path in (pair.infrared, pair.visible))
    return any(is_lossy_webp(path) for path in files)


def _from_cards(results: Sequence[SetScores]) -> list[CardRow]:
    """The networks that were not scored anew, each file of weights once."""
    return list({card.weights: card for result in results for card in result.from_cards}.values())


def _pages(root: Path) -> tuple[Path, Path]:
    """README.md and docs/results.md; both have the markers of their parts."""
    readme, page = root / "README.md", root / "docs" / "results.md"
    read_part(readme, README_PART)
    read_part(page, RESULTS_PART)
    return readme, page


def _weights(models: Sequence[Model], results: Sequence[SetScores]) -> list[str]:
    rows = [[m.name, f"`{m.weights}`", m.fuser.device, m.fuser.precision] for m in all_weights(models)]
    rows += [[card.name, f"`{card.weights}`", "from its card", ""] for card in _from_cards(results)]
    return markdown_table(["network", "sha256 of its weights", "device", "precision"], rows) if rows else []


def _set_lines(result: SetScores) -> list[str]:
    name, number = result.pairs.name, len(result.pairs.pairs)
    lines = [f"### {name}", "", f"{number} pairs."]
    if published_rows(name) and published_pairs(name) != number:
        lines[-1] += f" The published means are over {published_pairs(name)} pairs."
    if holds_lossy(result):
        lines[-1] += " The pictures are lossy copies; on lossless ones MI and Qabf are a little lower."
    if name.startswith("MRI_"):
        lines[-1] += f" {MEDICAL_NOTE}"
    undefined = {
        f"{metric} of {evaluation.name} is undefined on {len(pairs)} pairs, which its mean leaves out."
        for evaluation in result.evaluations
        for metric, pairs in evaluation.undefined.items()
    }
    lines[-1] = " ".join([lines[-1], *sorted(undefined)])
    counts = bool(published_rows(name))
    body = []
    for row in set_rows(result):
        cells = [row.name, *_cells(row, name)]
        if counts:
            cells += [f"{count}/{len(COLUMNS)}" for count in (row.above_reference, row.above_best)]
        body.append([*cells, *(row.text(metric) if row.is_ours else "" for metric in GENTLE)])
    head = ["", *COLUMNS, *(["≥ FSIDFusion", "≥ best"] if counts else []), *GENTLE]
    return [*lines, "", *markdown_table(head, body)]


def _cells(row: Row, name: str) -> list[str]:
    """The means of a row, marked where they win."""
    printed = published_rows(name)
    cells = []
    for metric in COLUMNS:
        text, value = row.text(metric), row.means[metric]
        if row.is_ours and printed:
            text = f"**{text}**" if stands(value, printed[REFERENCE][metric]) != "below" else text
            text += " ▲" if stands(value, printed[BEST][metric]) != "below" else ""
        cells.append(text)
    return cells


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, numbers to the right, and an empty line below."""
    rule = "|---" + "|---:" * (len(head) - 1) + "|"
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in body), ""]
