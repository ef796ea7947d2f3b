"""Scores of fused files and of models, with intervals and paired wins, beside the published rows.

In one call: ``fsidfusion.evaluate``, which stands in :mod:`fsidfusion.evaluation.evaluate`.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.evaluation.boxes import Boxes
    from fsidfusion.evaluation.evaluate import (
        Condition,
        Evaluation,
        ScoredPair,
        Scores,
        evaluate_methods,
        score_pairs,
    )
    from fsidfusion.evaluation.labels import Labels, read_labels
    from fsidfusion.evaluation.methods import FusedFiles, Method, Model
    from fsidfusion.evaluation.published import cells_won, published_pairs, published_rows, published_sets
    from fsidfusion.evaluation.sets import named_set

__all__ = [
    "Boxes",
    "Condition",
    "Evaluation",
    "FusedFiles",
    "Labels",
    "Method",
    "Model",
    "ScoredPair",
    "Scores",
    "cells_won",
    "evaluate_methods",
    "named_set",
    "published_pairs",
    "published_rows",
    "published_sets",
    "read_labels",
    "score_pairs",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "boxes": ("Boxes",),
        "evaluate": ("Condition", "Evaluation", "ScoredPair", "Scores", "evaluate_methods", "score_pairs"),
        "labels": ("Labels", "read_labels"),
        "methods": ("FusedFiles", "Method", "Model"),
        "published": ("cells_won", "published_pairs", "published_rows", "published_sets"),
        "sets": ("named_set",),
    },
)
