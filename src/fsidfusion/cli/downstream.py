"""What the commands of the downstream tasks share: fusing with progress, a line of progress, the results."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from fsidfusion.cli.progress import progress
from fsidfusion.images.pairs import Pair
from fsidfusion.report.page import Card, Section
from fsidfusion.studies.downstream.comparison import Progress, Run
from fsidfusion.studies.downstream.comparison_report import (
    Study,
    build_report,
    print_tables,
    to_markdown,
    write_section,
)
from fsidfusion.studies.downstream.inputs import Frames, Input, prepare_frames


def fuse_inputs(
    inputs: Sequence[Input], pairs: Sequence[Pair], cache: Path, device: str
) -> dict[Input, Frames]:
    """The frames of every input; what is not in the cache yet is fused, with a bar."""
    frames = {}
    for given in inputs:
        if given.model:
            print(f"{given.name}: {len(pairs)} fused pairs", file=sys.stderr)
        with progress(len(pairs), shown=bool(given.model)) as report:
            frames[given] = prepare_frames(given, pairs, cache, device, report)
    return frames


class ProgressLine:
    """Prints where a comparison stands: one line that moves on a terminal, else one for every tenth."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def __call__(self, at: Progress) -> None:
        """Print, if there is news."""
        moving = sys.stderr.isatty()
        step = (at.done, int(at.share * 10))
        if not moving and step == self._last:
            return
        self._last = step
        left = "" if math.isnan(at.seconds_left) else f"  {at.seconds_left / 60:.0f} min left"
        line = f"run {at.done + 1}/{at.total}  {at.input}, seed {at.seed}  {at.share:.0%}{left}"
        end = "\n" if not moving or at.share >= 1 else ""
        print(f"\r{line}\x1b[K" if moving else line, file=sys.stderr, end=end, flush=True)


def write_results(
    study: Study,
    runs: Sequence[Run],
    output: Path,
    cards: Sequence[Card] = (),
    extra: Sequence[Section] = (),
    write_docs: bool = False,
) -> None:
    """Print the tables, and write report.html and table.md into a folder and, if asked, docs/results.md."""
    from fsidfusion.images.atomic import write_text

    print_tables(study, runs)
    pages = {"report.html": build_report(study, runs, cards, extra), "table.md": to_markdown(study, runs)}
    for name, text in pages.items():
        write_text(output / name, text)
        print(f"wrote {output / name}")
    if write_docs:
        print(f"wrote {write_section(study, runs)}")
