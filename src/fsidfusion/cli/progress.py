"""The one bar that a terminal shows of long work: what is done, how fast, and the time that is left."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")


class Bar:
    """Told of what is done; shows it where there is a terminal."""

    def __init__(self, shown: "Progress | None", total: int | None) -> None:
        self._shown = shown
        self._start, self._first = time.perf_counter(), 0
        self._task: TaskID | None = None
        if shown is not None:
            self._task = shown.add_task("", total=total, rate=0.0, text="")

    def step(self, _finished: object = None) -> None:
        """One more is done."""
        if self._shown is not None:
            self.at(int(self._shown.tasks[0].completed) + 1)

    def at(self, done: int, total: int | None = None, stage: str = "", text: str = "") -> None:
        """So many are done, of so many if that is known; ``stage`` and ``text`` stand before and after."""
        if self._shown is None or self._task is None:
            return
        if done < self._first or (done and not self._shown.tasks[0].completed):
            self._start, self._first = time.perf_counter(), max(done - 1, 0)  # it went on from there
        rate = (done - self._first) / max(time.perf_counter() - self._start, 1e-9)
        total = self._shown.tasks[0].total if total is None else total  # type: ignore[assignment]
        self._shown.update(self._task, completed=done, total=total, rate=rate, description=stage, text=text)

    def note(self, text: str) -> None:
        """Write something else after the bar."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, text=text)

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each counted when the next is asked for."""
        for item in items:
            yield item
            self.step()


@contextmanager
def progress(unit: str, total: int | None = None, shown: bool = True) -> Iterator[Bar]:
    """A bar on standard error, if that is a terminal and there is more than one thing to do.

    Args:
        unit: what is counted, in the plural: pairs, frames, slices, steps.
        total: how many there will be, if that is known; it may be told later.
        shown: False where something else stands on the terminal.
    """
    if not shown or (total is not None and total < 2) or not sys.stderr.isatty():
        yield Bar(None, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}  {{task.fields[rate]:.1f}}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Bar(bar, total)
