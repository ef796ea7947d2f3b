"""What a terminal shows of long work."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(total: int, shown: bool) -> Iterator[Callable[[object], None]]:
    """A bar on the terminal, if standard error is one: pairs done, pairs a second, time left."""
    if not shown or total < 2 or not sys.stderr.isatty():
        yield lambda finished: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pairs  {task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, rate=0.0)

        def report(finished: object) -> None:
            bar.advance(task)
            rate = bar.tasks[0].completed / (time.perf_counter() - start)
            bar.update(task, rate=rate)

        yield report


@contextmanager
def counted(unit: str, rate_unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Units done, their rate and the time left on the terminal, if standard error is one."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (
        BarColumn(),
        TextColumn(f"{{task.completed:.0f}} {unit}  {{task.fields[rate]:.1f}} {rate_unit}"),
        TimeRemainingColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, rate=0.0)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total, rate=done / (time.perf_counter() - start))

        yield report
