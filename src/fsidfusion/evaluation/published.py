"""The result tables of the FSIDFusion release, and how a score stands beside them.

They are printed with two decimals, so that is the precision of every comparison here: a score that rounds to
the printed value is equal to it. All seven columns are better when higher.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Verdict = Literal["above", "equal", "below"]

COLUMNS = ("EN", "SF", "AG", "MI", "SD", "VIF", "Qabf")
REFERENCE = "FSIDFusion"  # the row of the published method
BEST = "best of each column"  # of all published methods


def published_sets() -> tuple[str, ...]:
    """The names of the sets that have published rows."""
    return tuple(_tables()["fusion"])


def canonical_name(name: str) -> str | None:
    """The published name of a set written in any case, or None."""
    return next((known for known in published_sets() if known.lower() == name.lower()), None)


def published_pairs(name: str) -> int:
    """Over how many pairs the published means of a set were taken."""
    return int(_tables()["pairs"][name])


def published_rows(name: str) -> dict[str, dict[str, float]]:
    """Method -> column -> mean as printed, with the best of each column last; {} for an unknown set."""
    if name not in published_sets():
        return {}
    rows = {**_tables()["fusion"][name], BEST: _tables()["best_of_each_column"][name]}
    return {method: dict(zip(COLUMNS, values)) for method, values in rows.items()}


def stands(score: float, printed: float) -> Verdict:
    """How a score, rounded to two decimals, stands to a printed value; NaN is below all."""
    rounded = round(score, 2)
    return "equal" if rounded == printed else "above" if rounded > printed else "below"


def cells_won(means: Mapping[str, float], printed: Mapping[str, float]) -> int:
    """In how many of the printed columns the means are at least equal."""
    return sum(
        stands(means[column], value) != "below" for column, value in printed.items() if column in means
    )


@cache
def _tables() -> dict[str, Any]:
    return json.loads((files("fsidfusion.evaluation") / "published.json").read_text("utf-8"))
