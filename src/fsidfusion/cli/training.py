"""What the commands that train share: when they end, what is shown meanwhile, and the status."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.training.loop import Progress, Reached

PLAIN_EVERY = 30.0  # seconds between two lines where there is no terminal
SMOOTH = 20  # steps over which the shown losses are averaged


def deadline(max_minutes: float | None) -> float:
    """Of time.monotonic(), from now. InputError for no time at all."""
    if max_minutes is not None and not max_minutes > 0:
        raise InputError(f"`max_minutes` {max_minutes}: expected more than 0")
    return float("inf") if max_minutes is None else time.monotonic() + 60 * max_minutes


def ended(reached: "Reached[Any]", said: bool = True) -> int:
    """The exit status of a training: 0 done, 1 the time was up, else 128 and the number of the signal.

    That it was stopped is ``said``, and where it is kept.
    """
    from fsidfusion.training.loop import TIME, stopped_after

    if not reached.stopped:
        return 0
    if said:
        why = " as the time was up" if reached.stopped == TIME else ""
        say(stopped_after(reached.step, reached.steps, reached.path, why))
    return 1 if reached.stopped == TIME else 128 + reached.stopped


@contextmanager
def training_progress(
    quiet: bool = False,
) -> Iterator[tuple[Callable[["Progress"], None], Callable[[int, int], None]]]:
    """The bar of a training, with its losses; without a terminal a plain line now and then.

    Gives what is to be called after a step, and after a validated pair with their number and that of all.
    ``quiet`` is for the processes of a training that are not the first.
    """
    recent: deque[dict[str, float]] = deque(maxlen=SMOOTH)
    plain = not quiet and not sys.stderr.isatty()
    said = -PLAIN_EVERY

    def losses(at: "Progress") -> str:
        if recent and recent[-1].keys() != at.losses.keys():  # the other stage has begun
            recent.clear()
        recent.append(at.losses)
        means = {name: sum(losses[name] for losses in recent) / len(recent) for name in at.losses}
        terms = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        return f"loss {sum(means.values()):.4f}  ({terms})" if len(means) > 1 else terms

    def tell(line: Callable[[], str], last: bool) -> None:
        nonlocal said
        if plain and (last or time.monotonic() - said >= PLAIN_EVERY):
            said = time.monotonic()
            warn(line())

    with progress("steps", shown=not quiet) as bar:

        def on_step(at: "Progress") -> None:
            text = losses(at)
            bar.at(at.step, at.steps, at.stage, f"{text}  {at.pairs_per_second:.1f} pairs/s")
            pace = f"{at.pairs_per_second:.1f} pairs/s, {_left(at.seconds_left)} left"
            tell(lambda: f"{at.stage} {at.step}/{at.steps}  {text}  {pace}", at.step == at.steps)

        def on_validation(done: int, number: int) -> None:
            bar.note(f"validating {done}/{number}")
            tell(lambda: f"validating {done}/{number}", done == number)

        yield on_step, on_validation


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
