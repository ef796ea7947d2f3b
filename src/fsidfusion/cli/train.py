"""``fsidfusion train``: the two stages, from a patch cache to weights."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from fsidfusion.training.record import Progress

PLAIN_EVERY = 30.0  # seconds between two lines where there is no terminal
SMOOTH = 20  # steps over which the shown losses are averaged


def train(
    data: Path,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    preset: str = "light",
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE ...")] = (),
    resume: Literal["auto", "never"] = "auto",
    max_minutes: float | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 0,
    tensorboard: bool = False,
) -> int:
    """Train a network; stop it with Ctrl-C and run the same line again to go on.

    Args:
        data: the patch cache that 'fsidfusion data prepare' made.
        output: folder of the run: configuration, log, checkpoints, validation pictures, weights, report.html.
        preset: a shipped recipe (light, light-finish, light-medical, balanced, published) or a YAML file.
        set: fields of the preset to change, such as --set batch=4 learning_rate=2e-4.
        resume: auto goes on from the newest checkpoint of the folder; never refuses a folder that has one.
        max_minutes: stop with a checkpoint after so many minutes.
        device: where to train; auto takes a GPU when there is one. Several: torchrun -m fsidfusion train ...
        threads: CPU threads, 0: as torch chooses.
        tensorboard: also write TensorBoard's events, into the folder tensorboard of the run.
    """
    import torch
    from rich.console import Console

    from fsidfusion.errors import InputError
    from fsidfusion.training.loop import train as run_training
    from fsidfusion.training.patches import PatchCache
    from fsidfusion.training.presets import load_config

    wrong = [entry for entry in set if "=" not in entry]
    if wrong:
        raise InputError(f"--set takes FIELD=VALUE, given {wrong[0]!r}")
    if threads < 0 or (max_minutes is not None and not max_minutes > 0):
        raise InputError(
            f"--threads {threads}, --max-minutes {max_minutes}: expected 0 or more, and more than 0"
        )
    config = load_config(preset, dict(entry.split("=", 1) for entry in set))
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    first = int(os.environ.get("RANK", "0")) == 0
    with shown(Console(stderr=True, quiet=not first)) as (show, show_validation):
        reached = run_training(
            config,
            PatchCache(data),
            output,
            resume=resume == "auto",
            max_minutes=max_minutes,
            device=device,
            tensorboard=tensorboard,
            on_step=show,
            on_validation=show_validation,
        )
    if first:
        print(f"weights: {reached}" if reached.suffix else f"stopped at {reached}; run again to go on")
        print(f"report: {output / 'report.html'}")
    return 0


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
