"""Does a fused picture show the people that each camera alone shows? In clear air, haze and smoke."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fsidfusion import __version__
from fsidfusion.errors import InputError
from fsidfusion.evaluation.evaluate import Condition, evaluate_methods
from fsidfusion.evaluation.labels import Labels
from fsidfusion.evaluation.methods import Model, all_weights
from fsidfusion.evaluation.visibility import SOURCES, Share, Target, subsets, summarise
from fsidfusion.images.degrade import STRENGTH
from fsidfusion.studies.downstream.detection.frames import LabelledFrames

CONDITIONS = {"clear": "", "haze": "haze", "smoke": "smoke"}  # by name: what happens to the visible picture
COLORS = ("gray", "visible", "heat")
TARGET = "person"


@dataclass(frozen=True)
class Sight:
    """What every row shows of the people, by condition and then by ``person``, ``person, day`` and so on."""

    frames: int
    rows: tuple[str, ...]
    shares: dict[str, dict[str, dict[str, Share]]]  # condition -> group -> row


def measure(
    frames: LabelledFrames,
    models: Sequence[Model],
    threads: int | None = None,
    progress: Callable[[object], None] = lambda scored: None,
) -> Sight:
    """Fuse labelled frames under every condition, and tell how visible their people are.

    Args:
        frames: pairs with boxes; one class is ``person``.
        models: with rows for every colour.
        threads: threads.
        progress: called after each pair under each condition.

    Raises:
        InputError: no labelled person large enough, or a pair that cannot be read.
    """
    labels = Labels(
        frames.classes, {pair.name: boxes for pair, boxes in zip(frames.pairs, frames.boxes)}, (), {}, {}
    )
    shares: dict[str, dict[str, dict[str, Share]]] = {}
    rows: tuple[str, ...] = ()
    for condition, degradation in CONDITIONS.items():
        evaluations = evaluate_methods(
            frames.pairs,
            models,
            ("EN",),
            threads=threads,
            progress=progress,
            condition=Condition(degradation, labels),
        )
        people: list[Target] = [seen for seen in evaluations[0].targets if seen.target == TARGET]
        if not people:
            raise InputError(f"no frame has a labelled {TARGET} of at least 6x10 pixels")
        rows = (*SOURCES, *(evaluation.name for evaluation in evaluations))
        shares[condition] = {
            group: {row: summarise(targets, row) for row in rows}
            for group, targets in subsets(people).items()
        }
    return Sight(len(frames.pairs), rows, shares)


def to_markdown(sight: Sight, models: Sequence[Model], name: str) -> str:
    """The part ``seeing`` of docs/results.md."""
    groups = list(next(iter(sight.shares.values())))
    people = next(iter(sight.shares["clear"][TARGET].values())).targets
    columns = [(condition, group) for condition in sight.shares for group in groups]
    heads = [f"{condition}{group.removeprefix(TARGET)}" for condition, group in columns]
    lines = [
        "## People in fused pictures",
        "",
        f"Written by `fsidfusion benchmark seeing`, fsidfusion {__version__}: {people} people of"
        f" {sight.frames} frames of {name}; haze and smoke are this project's own, over the visible picture,"
        f" of strength {STRENGTH:g} ([what is measured](metrics.md#are-people-to-be-seen)).",
        "",
        "Kept: the share of people whom a picture tells at least nine tenths as well as the better source; in"
        " brackets the 95 % interval over frames. Plain names are gray pictures, `+color` has the colours of"
        " the visible one, `+heat` heat colours.",
        "",
        f"| kept | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    for row in sight.rows:
        cells = []
        for condition, group in columns:
            share = sight.shares[condition][group][row]
            low, high = share.kept_interval
            cells.append(f"{share.kept:.2f} [{low:.2f}, {high:.2f}]")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", f"| visibility | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for row in sight.rows:
        cells = [f"{sight.shares[c][g][row].visibility:.3f}" for c, g in columns]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += ["", *(f"Weights: {model.name} `{model.weights}`." for model in all_weights(models))]
    return "\n".join(lines) + "\n"
