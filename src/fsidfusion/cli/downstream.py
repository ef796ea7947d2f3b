"""What the commands of the downstream tasks share: fusing with progress, a line of progress, the results."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.progress import progress
from fsidfusion.images.pairs import Pair
from fsidfusion.report.page import Card, Section
from fsidfusion.studies.downstream.comparison import Progress, Run
from fsidfusion.studies.downstream.comparison_report import (
    Study,
    build_report,
    print_tables,
    to_markdown,
)
from fsidfusion.studies.downstream.inputs import Frames, Input, prepare_frames


def fuse_inputs(
    inputs: Sequence[Input], pairs: Sequence[Pair], cache: Path, device: str
) -> dict[Input, Frames]:
    """The frames of every input; what is not in the cache yet is fused, with a bar."""
    frames = {}
    for given in inputs:
        if given.model:
            warn(f"{given.name}: {len(pairs)} fused pairs")
        with progress("pairs", len(pairs), shown=bool(given.model)) as bar:
            frames[given] = prepare_frames(given, pairs, cache, device, bar.step)
    return frames


@contextmanager
def comparison_progress() -> Iterator[Callable[[Progress], None]]:
    """Where a comparison stands: the bar on a terminal, else a line for every tenth of a run."""
    last: tuple[int, int] | None = None
    with progress("% of the run") as bar:

        def show(at: Progress) -> None:
            nonlocal last
            left = "" if math.isnan(at.seconds_left) else f"{at.seconds_left / 60:.0f} min left"
            run = f"run {at.done + 1}/{at.total}  {at.input}, seed {at.seed}"
            bar.at(int(100 * at.share), 100, run, left)
            step = (at.done, int(at.share * 10))
            if not sys.stderr.isatty() and step != last:
                last = step
                warn(f"{run}  {at.share:.0%}  {left}".rstrip())

        yield show


def write_results(
    study: Study,
    runs: Sequence[Run],
    output: Path,
    cards: Sequence[Card] = (),
    extra: Sequence[Section] = (),
) -> None:
    """Print the tables, and write report.html and table.md into a folder."""
    from fsidfusion.images.atomic import write_text

    print_tables(study, runs)
    pages = {"report.html": build_report(study, runs, cards, extra), "table.md": to_markdown(study, runs)}
    for name, text in pages.items():
        write_text(output / name, text)
        say(f"wrote {output / name}")
