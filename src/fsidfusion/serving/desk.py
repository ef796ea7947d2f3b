"""A bounded queue of pairs, and the threads that fuse them; it knows nothing of HTTP.

As in :mod:`fsidfusion.fusion.files`, quick pairs go through side by side, each in one thread of the CPU. Of
those that take long, or go to another device, the model step has all threads and is done for one after the
other. What is in flight is bounded in bytes. On a GPU pairs of one size that wait together go through
the model together.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from fsidfusion.errors import FusionError, NotEnoughMemory
from fsidfusion.fusion.files import IN_FLIGHT_SHARE
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Fusion, Pipeline


class Busy(FusionError):
    """All places are taken."""


class Stopping(FusionError):
    """The service ends."""


@dataclass(eq=False)
class Work:
    """One pair to fuse, and what became of it: the fusion, or what it failed with."""

    fusion: Fusion
    pipeline: Pipeline
    size: tuple[int, int]  # (H, W)
    bytes: int  # of sources and result
    done: "Future[Fusion]" = field(default_factory=Future)
    seconds: dict[str, float] = field(default_factory=dict)  # wait, read, fuse, write
    put: float = field(default_factory=time.perf_counter)
    _failure: BaseException | None = None
    _is_abandoned: bool = False

    @property
    def fuser(self) -> Fuser:
        """Its model."""
        return self.pipeline.fuser

    def abandon(self) -> None:
        """Take no further step."""
        self._is_abandoned = True
        self.done.cancel()

    def step(self, name: str, run: Callable[[Fusion], None]) -> None:
        """One step; what goes wrong in it is the failure of this pair alone."""
        if not self.is_live:
            return
        start = time.perf_counter()
        try:
            run(self.fusion)
        except MemoryError:
            self._failure = NotEnoughMemory(
                f"{self.fusion.names[1]}: no memory for the pair; give more (`memory`)"
            )
        except BaseException as error:
            self._failure = error
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def is_live(self) -> bool:
        """Whether its next step is worth doing."""
        return self._failure is None and not self._is_abandoned

    def settle(self) -> None:
        """Tell who waits."""
        if self._is_abandoned:
            self.done.set_exception(CancelledError())
        elif self._failure is not None:
            self.done.set_exception(self._failure)
        else:
            self.done.set_result(self.fusion)


class Desk:
    """Places for requests, a queue of their pairs, and threads that fuse them."""

    def __init__(self, places: int, threads: int, limit: int) -> None:
        """Begin, with ``threads`` that compute and ``limit`` bytes of pairs that are in flight."""
        self.places, self.limit = places, limit
        self.taken = 0  # places
        self._waiting: deque[Work] = deque()
        self._bytes = 0  # of what is in flight
        self._is_closed = False
        self._changed = threading.Condition()
        self._model = threading.Lock()  # for passes that have all threads
        count = max(1, threads)
        self._threads = [
            threading.Thread(target=self._work, name=f"fuse-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def around(cls, fuser: Fuser, places: int) -> "Desk":
        """A desk that computes with the threads and the memory of a fuser."""
        return cls(places, fuser.threads, int(IN_FLIGHT_SHARE * fuser.memory))

    @property
    def waiting(self) -> int:
        """Pairs in the queue."""
        return len(self._waiting)

    @property
    def workers(self) -> int:
        """Threads that compute; 0 once it is closed."""
        return 0 if self._is_closed else sum(thread.is_alive() for thread in self._threads)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request while it sends, waits and is computed.

        Raises:
            Busy: there is none.
            Stopping: the service ends.
        """
        with self._changed:
            if self._is_closed:
                raise Stopping("the service is stopping; ask again when it is back")
            if self.taken >= self.places:
                raise Busy(f"all {self.places} places are taken; ask again in a few seconds")
            self.taken += 1
        try:
            yield
        finally:
            with self._changed:
                self.taken -= 1

    def put(self, work: Work) -> Work:
        """Queue a pair; who holds no place sees to it that few are queued.

        Raises:
            Stopping: the service ends.
        """
        with self._changed:
            if self._is_closed:
                raise Stopping("the service is stopping; ask again when it is back")
            self._waiting.append(work)
            self._changed.notify()
        return work

    def drop(self, work: Work) -> None:
        """Nobody waits for a pair any more: it is not begun, or ends after the step that it is in."""
        with self._changed:
            work.abandon()
            if work in self._waiting:
                self._waiting.remove(work)

    def close(self) -> None:
        """Take nothing more, drop what has not begun, and wait for what has."""
        with self._changed:
            self._is_closed = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for work in dropped:
            if work.done.set_running_or_notify_cancel():
                work.done.set_exception(Stopping("the service is stopping; ask again when it is back"))
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._fuse(batch)
            finally:
                with self._changed:
                    self._bytes -= sum(work.bytes for work in batch)
                    self._changed.notify_all()
                for work in batch:
                    work.settle()
            del batch

    def _next(self) -> list[Work]:
        """The next pair that fits, with those that gain from going along; [] at the end."""
        with self._changed:
            while True:
                while self._waiting and self._waiting[0].done.cancelled():
                    self._waiting.popleft()
                if self._waiting and (not self._bytes or self._bytes + self._waiting[0].bytes <= self.limit):
                    batch = self._gather(self._waiting.popleft())
                    batch = [work for work in batch if work.done.set_running_or_notify_cancel()]
                    self._bytes += sum(work.bytes for work in batch)
                    if batch:
                        return batch
                elif self._is_closed and not self._waiting:
                    return []
                else:
                    self._changed.wait()

    def _gather(self, first: Work) -> list[Work]:
        """A pair, and of those that wait its share of the same size and model."""
        if first.fuser.device == "cpu":  # the last of 16 bits would depend on who else asks, for little gain
            return [first]
        share = -(-(len(self._waiting) + 1) // len(self._threads))
        most = min(share, first.fuser.batch_size(*first.size))
        alike = [w for w in self._waiting if w.fuser is first.fuser and w.size == first.size][: most - 1]
        room = self.limit - self._bytes - first.bytes
        batch = [first]
        for work in alike:
            room -= work.bytes
            if room < 0:
                break
            self._waiting.remove(work)
            batch.append(work)
        return batch

    def _fuse(self, batch: list[Work]) -> None:
        now = time.perf_counter()
        for work in batch:
            work.seconds["wait"] = now - work.put
        fuser = batch[0].fuser
        is_quick = fuser.parallel_passes(*batch[0].size) > 1
        fuser.use_threads(1 if is_quick else fuser.threads)
        for work in batch:
            work.step("read", work.pipeline.prepare)
        if is_quick:
            self._through_model(batch)
        else:
            with self._model:
                self._through_model(batch)
        for work in batch:
            work.step("write", work.pipeline.finish)

    @staticmethod
    def _through_model(batch: list[Work]) -> None:
        live = [work for work in batch if work.is_live]
        if len(live) == 1:
            live[0].step("fuse", live[0].pipeline.fuse)
            return
        if not live:
            return
        start = time.perf_counter()
        try:
            live[0].pipeline.fuse(*(work.fusion for work in live))
        except Exception:  # one of them is the cause: each by itself tells which
            for work in live:
                work.step("fuse", work.pipeline.fuse)
            return
        for work in live:
            work.seconds["fuse"] = time.perf_counter() - start
