"""What a run writes of itself while it goes: a line for each step, and TensorBoard's events if asked for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec
import numpy as np

from fsidfusion.errors import InputError, MissingDependency, install
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.files import read_picture
from fsidfusion.training.loop import Progress
from fsidfusion.training.validation import Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Record:
    """``metrics.jsonl`` (a line a step), ``validation.jsonl`` and, if asked for, ``tensorboard/`` of a run.

    Lines behind ``step``, where a stopped run goes on, are dropped: it will write them again.

    Args:
        run: the folder of the run.
        step: finished steps.
        tensorboard: whether to write events too.
        active: only the first of several processes writes.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """

    def __init__(self, run: Path, step: int, tensorboard: bool = False, active: bool = True) -> None:
        self._active, self._validations = active, run / "validation.jsonl"
        self._board: SummaryWriter | None = None
        self.validated: set[int] = set()  # steps
        if not active:
            return
        if tensorboard:
            self._board = _open_board(run / "tensorboard", step)
        metrics = run / "metrics.jsonl"
        _drop_later(metrics, step, StepLine)
        _drop_later(self._validations, step, ValidationLine)
        self.validated = {line["step"] for line in read_lines(self._validations, ValidationLine)}
        self._log = metrics.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board:
            self._board.close()
        if self._active:
            self._log.close()

    def add_step(self, progress: Progress) -> None:
        """Write a step."""
        line = {
            "step": progress.step,
            "stage": progress.stage,
            "seconds": round(progress.seconds, 2),
            "lr": progress.learning_rate,
            "gradient_norm": progress.gradient_norm,
            **{name: round(value, 6) for name, value in progress.losses.items()},
        }
        print(json.dumps(line), file=self._log, flush=True)
        if self._board:
            for name, value in progress.losses.items():
                self._board.add_scalar(f"loss/{name}", value, progress.step)
            self._board.add_scalar("gradient_norm", progress.gradient_norm, progress.step)
            self._board.add_scalar("learning_rate", progress.learning_rate, progress.step)

    def add_validation(self, validation: Validation) -> None:
        """Write the scores of the held-out pairs; nothing where there are none."""
        if not validation.means:
            return
        line = {"step": validation.step, "range": validation.range, "mean": validation.means}
        with self._validations.open("a", encoding="utf-8") as log:
            print(json.dumps(line), file=log)
        self.validated.add(validation.step)
        if self._board:
            for name, means in validation.means.items():
                for metric, value in means.items():
                    self._board.add_scalar(f"validation {metric}/{name}", value, validation.step)
            sheet = np.asarray(read_picture(validation.sheet).pixels)
            self._board.add_image("validation", sheet, validation.step, dataformats="HWC")


class StepLine(msgspec.Struct):
    """What every line of ``metrics.jsonl`` holds; all else in it are losses."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    stage: Literal["reconstruct", "fuse"]
    seconds: float
    lr: float
    gradient_norm: float


class ValidationLine(msgspec.Struct):
    """A line of ``validation.jsonl``: means by row and metric."""

    step: Annotated[int, msgspec.Meta(ge=0)]
    range: str
    mean: dict[str, dict[str, float]]


Model = type[StepLine] | type[ValidationLine]


def read_lines(path: Path, model: Model) -> list[dict[str, Any]]:
    """The whole lines of a JSON lines file, one for each step in order; [] where there is no file."""
    lines: dict[int, dict[str, Any]] = {}
    for text in path.read_text("utf-8", "replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)  # not msgspec's reader, which knows no NaN
            step = msgspec.convert(line, model).step
            if model is StepLine:
                msgspec.convert({**line, "stage": 0.0}, dict[str, float])
            lines[step] = line
        except (ValueError, RecursionError):  # cut off by a crash; those of msgspec are ValueErrors
            continue
    return [lines[step] for step in sorted(lines)]


@contextmanager
def disk_errors(run: Path) -> Iterator[None]:
    """A file that cannot be written, as one line; the checkpoints are whole, so nothing but time is lost."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to the run folder {run} ({error.strerror or error}); its checkpoints are "
            "untouched: make room and run again to go on"
        ) from error


def _drop_later(path: Path, step: int, model: Model) -> None:
    lines = read_lines(path, model)
    kept = [line for line in lines if line["step"] <= step]
    if len(kept) < len(lines):
        with whole_file(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())


def _open_board(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingDependency(f"TensorBoard is not installed: {install('tensorboard')}") from None
    return SummaryWriter(str(folder), purge_step=step + 1)
