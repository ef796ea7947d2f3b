"""What the commands that train share: where it runs, what a terminal shows of it, and how it ends."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from fsidfusion.training.loop import Progress, Reached

PLAIN_EVERY = 30.0  # seconds between two lines where there is no terminal
SMOOTH = 20  # steps over which the shown losses are averaged

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|cuda:N|mps")]
Minutes = Annotated[float | None, tyro.conf.arg(metavar="MINUTES")]


@dataclass(frozen=True)
class Machine:
    """Where it runs."""

    device: Device = "auto"
    """where to compute; auto takes a GPU when there is one"""
    threads: int | None = None
    """threads of the CPU; by default all"""

    def set_up(self) -> None:
        """Prepare the process for a training. InputError for threads that cannot compute."""
        import torch

        from fsidfusion.runtime.allocator import keep_large_blocks

        keep_large_blocks()
        if self.threads is not None:
            if self.threads < 1:
                raise InputError(f"--threads {self.threads}: expected 1 or more, or none to use all")
            torch.set_num_threads(self.threads)


def deadline(max_minutes: float | None) -> float:
    """Of time.monotonic(), from now. InputError for no time at all."""
    if max_minutes is not None and not max_minutes > 0:
        raise InputError(f"--max-minutes {max_minutes}: expected more than 0")
    return float("inf") if max_minutes is None else time.monotonic() + 60 * max_minutes


def ended(reached: "Reached[Any]", said: bool = True) -> int:
    """The exit status of a training: 0 done, 1 the time was up, else 128 and the number of the signal.

    That it was stopped is ``said``, and where it is kept.
    """
    from fsidfusion.training.loop import TIME

    if not reached.stopped:
        return 0
    if said:
        why = " as the time was up" if reached.stopped == TIME else ""
        steps = f"{reached.step} of {reached.steps} steps"
        print(f"stopped{why} after {steps}, kept in {reached.path}; run again to go on")
    return 1 if reached.stopped == TIME else 128 + reached.stopped


@contextmanager
def shown(
    console: "Console",
) -> Iterator[tuple[Callable[["Progress"], None], Callable[[int, int], None]]]:
    """Show a training: a bar with losses, pairs a second and time left; plain lines without a terminal.

    Gives what is to be called after a step, and after a validated pair with their number and that of all.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    recent: deque[dict[str, float]] = deque(maxlen=SMOOTH)

    def note(progress: "Progress") -> str:
        if recent and recent[-1].keys() != progress.losses.keys():  # the other stage has begun
            recent.clear()
        recent.append(progress.losses)
        means = {name: sum(losses[name] for losses in recent) / len(recent) for name in progress.losses}
        terms = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        return f"loss {sum(means.values()):.4f}  ({terms})" if len(means) > 1 else terms

    def pace(progress: "Progress") -> str:
        return f"{progress.pairs_per_second:.1f} pairs/s, {_left(progress.seconds_left)} left"

    if not console.is_terminal:
        said = -PLAIN_EVERY

        def tell(progress: "Progress") -> None:
            nonlocal said
            losses, now = note(progress), time.monotonic()
            if now - said >= PLAIN_EVERY or progress.step == progress.steps:
                said = now
                place = f"{progress.stage} {progress.step}/{progress.steps}"
                console.print(f"{place}  {losses}  {pace(progress)}", soft_wrap=True, highlight=False)

        def tell_validation(done: int, number: int) -> None:
            nonlocal said
            if time.monotonic() - said >= PLAIN_EVERY or done == number:
                said = time.monotonic()
                console.print(f"validating {done}/{number}", highlight=False)

        yield tell, tell_validation
        return

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        console=console,
    )
    task = bar.add_task("starting", total=None, pace="")
    losses = Text()

    def draw(progress: "Progress") -> None:
        losses.plain = note(progress)
        bar.update(
            task,
            description=progress.stage,
            completed=progress.step,
            total=progress.steps,
            pace=pace(progress),
        )

    def draw_validation(done: int, number: int) -> None:
        bar.update(task, pace=f"validating {done}/{number}")

    with Live(Group(bar, losses), console=console, refresh_per_second=4):
        yield draw, draw_validation


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
