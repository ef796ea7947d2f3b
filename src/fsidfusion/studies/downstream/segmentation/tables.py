"""The scores of one segmenter on the terminal and as JSON."""

import json
import math
from collections.abc import Mapping

from rich.console import Console

from fsidfusion.evaluation.tables import open_console, score_table
from fsidfusion.studies.downstream.segmentation.classes import Classes
from fsidfusion.studies.downstream.segmentation.evaluation import ALL
from fsidfusion.studies.downstream.segmentation.scores import SCORES, Confusion, score


def print_scores(
    matrices: Mapping[str, Confusion], classes: Classes, title: str, console: Console | None = None
) -> None:
    """Print scores by class, their means, and the means of each condition.

    Args:
        matrices: confusion matrices by condition, ``all`` among them.
        classes: their rows.
        title: above the table.
        console: where to print; standard output by default.
    """
    console = console or open_console()
    result = score(matrices[ALL], classes.names)
    table = score_table(title, "class", (*SCORES, "pixels"))
    for place, name in enumerate(classes.names):
        cells = [_text(result.by_class[kind][place]) for kind in SCORES]
        table.add_row(name, *cells, str(result.pixels[place]))
    table.add_section()
    for name, matrix in matrices.items():
        means = score(matrix, classes.names).mean
        label = "mean" if name == ALL else f"mean, {name}"
        table.add_row(label, *(_text(means[kind]) for kind in SCORES), str(matrix.sum()))
    console.print(table)
    console.print(
        f"pixel accuracy {_text(result.pixel_accuracy)}; means over the classes that the masks hold",
        style="dim",
    )


def scores_json(matrices: Mapping[str, Confusion], classes: Classes) -> str:
    """All scores and the confusion matrix (rows: true classes) of each condition; null: undefined."""
    content = {
        name: {**score(matrix, classes.names).record(), "confusion": matrix.tolist()}
        for name, matrix in matrices.items()
    }
    return json.dumps({"classes": list(classes.names), "scores": content}, indent=1, allow_nan=False) + "\n"


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
