"""How many cells of the published tables a row wins, and the rows of a set as all reports show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from fsidfusion.evaluation.published import BEST, COLUMNS, REFERENCE, cells_won, published_rows
from fsidfusion.evaluation.tables import format_score, open_console
from fsidfusion.fusion.rules import RULES
from fsidfusion.images.output_range import HIGH_PERCENTILE, LOW_PERCENTILE, MAX_GAIN
from fsidfusion.report.plots import Kind
from fsidfusion.studies.quality.scores import SetScores

NOTES = (
    "Every pair is fused in memory to 8-bit gray and scored against its sources in the convention of the"
    " published tables; colour is scored on its luma. Published values are as printed there.",
    f"Rows called stretched map the {LOW_PERCENTILE:g} and {HIGH_PERCENTILE:g} percentiles to black and"
    f" white, with a gain of at most {MAX_GAIN:g}; networks do so by default. Unstretched keeps 0..1, min-max"
    " maps the extremes, as the published release does.",
    "SD, SF and AG never see the sources and grow with contrast; the pixel maximum copies one source at every"
    " pixel, which MI, VIF and Qabf reward. Read every row beside the baselines.",
)


@dataclass(frozen=True)
class Row:
    """One line of a set's table: means of ours or of a published method."""

    name: str
    kind: Kind
    means: dict[str, float]
    above_reference: int | None  # cells at least equal to the published FSIDFusion; None without a table
    above_best: int | None  # cells at least equal to the best published value of the column

    @property
    def is_ours(self) -> bool:
        """Measured here, not published."""
        return self.kind in ("ours", "baseline")

    def text(self, metric: str) -> str:
        """The mean as it is written: published ones with the two decimals they are printed with."""
        value = self.means[metric]
        return format_score(metric, value) if self.is_ours else f"{value:.2f}"


@dataclass(frozen=True)
class Standing:
    """One row over all sets with published tables."""

    name: str
    kind: Kind
    by_set: dict[
        str, tuple[int, int]
    ]  # set -> cells at least equal to FSIDFusion, to the best of each column

    @property
    def total(self) -> tuple[int, int]:
        """Both counts over all sets."""
        first, second = zip(*self.by_set.values()) if self.by_set else ((), ())
        return sum(first), sum(second)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(COLUMNS) * len(self.by_set)


def set_rows(result: SetScores) -> list[Row]:
    """Our rows of a set, networks before baselines, then the published ones."""
    printed = published_rows(result.pairs.name)
    rows = [
        _row(evaluation.name, _kind(evaluation.source["model"]), evaluation.mean, printed)
        for evaluation in result.evaluations
    ]
    networks = sum(row.kind == "ours" for row in rows)
    kept = [_row(card.name, "ours", card.means, printed) for card in result.from_cards]
    rows = [*rows[:networks], *kept, *rows[networks:]]
    kinds: dict[str, Kind] = {REFERENCE: "reference", BEST: "best"}
    return rows + [_row(name, kinds.get(name, "published"), row, printed) for name, row in printed.items()]


def standings(results: Sequence[SetScores]) -> list[Standing]:
    """Every row of ours over the sets that have published tables; [] where none has."""
    found: dict[str, Standing] = {}
    for result in results:
        for row in set_rows(result):
            if row.is_ours and row.above_reference is not None:
                standing = found.setdefault(row.name, Standing(row.name, row.kind, {}))
                standing.by_set[result.pairs.name] = (row.above_reference, row.above_best or 0)
    return list(found.values())


def print_standings(ranking: Sequence[Standing], console: Console | None = None) -> None:
    """Print how many published cells every row wins: at least FSIDFusion's / the best of the column."""
    if not ranking:
        return
    table = Table(
        title="cells at least equal to the published FSIDFusion / to the best of each column",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for place, heading in enumerate(("method", *ranking[0].by_set, "all")):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for row in ranking:
        counts = ("{} / {}".format(*cells) for cells in (*row.by_set.values(), row.total))
        table.add_row(row.name, *counts)
    (console or open_console()).print(table)


def _row(name: str, kind: Kind, means: dict[str, float], printed: dict[str, dict[str, float]]) -> Row:
    if not printed:
        return Row(name, kind, means, None, None)
    return Row(name, kind, means, cells_won(means, printed[REFERENCE]), cells_won(means, printed[BEST]))


def _kind(model: str) -> Kind:
    return "baseline" if model in RULES else "ours"
