"""Work that overlaps: reading ahead, computing, writing behind; it knows nothing of what it carries."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import Empty, Full, Queue
from typing import Any, Generic, Protocol, TypeVar

from fsidfusion.errors import InputError

T = TypeVar("T")

_TURN = 0.1  # seconds between two looks whether the other side has given up


class Batch(Protocol):
    """Work that goes through the steps together."""

    @property
    def bytes(self) -> int:
        """Memory that it holds while it is on its way."""

    @property
    def passes(self) -> int:
        """How many such batches may be computed at the same time; over 1: each in one thread."""


B = TypeVar("B", bound=Batch)


def overlap(
    batches: Iterator[B],
    before: Callable[[B], object],
    compute: Callable[[B], object],
    after: Callable[[B], object],
    *,
    single: Callable[[], object],
    threads: int,
    limit: int,
) -> Generator[B, None, None]:
    """Take batches through three steps, of which those of different batches overlap.

    Long batches are computed one after the other in the calling thread, which a user can interrupt, while
    others are read and written in threads; quick ones go all the way side by side, each in one thread.

    Args:
        batches: in the order in which they are begun.
        before: reads; ``compute`` and ``after`` follow it.
        compute: the work itself.
        after: writes.
        single: called in a thread that is to compute by itself, before it does.
        threads: that may compute side by side.
        limit: bytes of the batches on their way; one batch always goes.

    Yields:
        each batch when it is done, in the order in which they end. Where the caller stops, what is being
        written becomes whole, and the rest is dropped.
    """

    def complete(batch: B) -> bool:
        single()
        before(batch)
        compute(batch)
        after(batch)
        return True

    pool = ThreadPoolExecutor(threads + 1)
    running: dict[Future[bool], B] = {}  # the result says whether the batch is done
    in_flight = 0
    upcoming = next(batches, None)
    try:
        while upcoming or running:
            while upcoming and (
                not in_flight or (in_flight + upcoming.bytes <= limit and len(running) <= upcoming.passes)
            ):
                in_flight += upcoming.bytes
                step = complete if upcoming.passes > 1 else _told(before, False)
                running[pool.submit(step, upcoming)] = upcoming
                upcoming = next(batches, None)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                batch = running.pop(future)
                if future.result():
                    in_flight -= batch.bytes
                    yield batch
                else:
                    compute(batch)
                    running[pool.submit(_told(after, True), batch)] = batch
    finally:
        pool.shutdown(cancel_futures=True)


def _told(step: Callable[[B], object], done: bool) -> Callable[[B], bool]:
    def run(batch: B) -> bool:
        step(batch)
        return done

    return run


class Ahead(Generic[T]):
    """An iterator that a thread of its own drains, a few items ahead, in order."""

    def __init__(
        self,
        items: Iterator[T],
        size: int,
        patience: float | None = None,
        waiting: Callable[[], str] = lambda: "a source",
    ) -> None:
        """Begin to take items.

        Args:
            items: what is drained.
            size: so many may wait.
            patience: seconds without an item after which the source counts as silent; None: never.
            waiting: the name of what is waited for.
        """
        self._patience, self._waiting = patience, waiting
        self._queue: Queue[tuple[bool, Any]] = Queue(size)  # (whether it is an item, item or error)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._drain, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """The next item; what the iterator raised is raised here, after the items before it.

        Raises:
            InputError: nothing came for longer than the patience.
        """
        end = None if self._patience is None else time.monotonic() + self._patience
        while True:
            if end is not None and time.monotonic() > end:
                raise InputError(
                    f"{self._waiting()} sent nothing for {self._patience:g} s; check that it runs,"
                    " or raise `timeout`"
                )
            try:
                is_item, value = self._queue.get(timeout=_TURN)  # a wait without end is deaf to Ctrl-C
            except Empty:
                continue
            if is_item:
                return value
            self._queue.put((False, value))  # for whoever asks again
            raise value if value is not None else StopIteration

    def close(self, patience: float = 2.0) -> None:
        """Take no more items; a source that sends nothing is waited for ``patience`` seconds, then left."""
        self._stopping.set()
        self._thread.join(patience)

    def _drain(self, items: Iterator[T]) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not _put(self._queue, (True, item), self._stopping.is_set):
                    return
        except BaseException as raised:
            error = raised
        finally:
            _put(self._queue, (False, error), self._stopping.is_set)


class Behind(Generic[T]):
    """A thread of its own that consumes items in order, while the caller goes on."""

    def __init__(self, consume: Callable[[T], object], size: int) -> None:
        """``consume`` is called with one item after the other; ``size`` of them may wait."""
        self.failure: BaseException | None = None  # what ``consume`` raised
        self._queue: Queue[tuple[bool, Any]] = Queue(size)
        self._thread = threading.Thread(target=self._consume, args=(consume,), daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; raises what an earlier one failed with."""
        if not _put(self._queue, (True, item), lambda: self.failure is not None):
            assert self.failure is not None
            raise self.failure

    def offer(self, item: T) -> bool:
        """Hand an item over without waiting; False where too many wait already."""
        if self.failure is not None:
            raise self.failure
        try:
            self._queue.put_nowait((True, item))
        except Full:
            return False
        return True

    def close(self, patience: float = math.inf) -> bool:
        """Wait until all items are consumed, or one has failed, or patience has run out.

        Returns:
            whether it has ended; else it is left to itself.
        """
        end = time.monotonic() + patience
        _put(self._queue, (False, None), lambda: self.failure is not None or time.monotonic() > end)
        self._thread.join(None if patience == math.inf else max(0.0, end - time.monotonic()))
        return not self._thread.is_alive()

    def _consume(self, consume: Callable[[T], object]) -> None:
        try:
            while (got := self._queue.get())[0]:
                consume(got[1])
        except BaseException as error:
            self.failure = error


def _put(queue: "Queue[Any]", item: Any, given_up: Callable[[], bool]) -> bool:
    """Put an item into a bounded queue, unless the other side has given up."""
    while not given_up():
        try:
            queue.put(item, timeout=_TURN)
            return True
        except Full:
            continue
    return False
