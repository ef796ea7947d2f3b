"""Requests to stop, by Ctrl-C, SIGTERM or a terminal that closes: what is at hand is ended or kept first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsidfusion._signals import AT_FIRST


class StopRequested(KeyboardInterrupt):
    """Raised where work ends early because a signal (``number``) asked for it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class StopRequest:
    """Whether a stop was asked for: ``number`` is the signal's, 0 before."""

    number = 0
    _may_break = False

    @contextmanager
    def breaking(self, wanted: bool = True) -> Iterator[None]:
        """Work that a stop need not wait for: StopRequested is raised in it, and before it."""
        self._may_break = wanted
        try:
            if self.number and wanted:
                raise StopRequested(self.number)
            yield
        finally:
            self._may_break = False

    def ask(self, number: int) -> None:
        """Ask for a stop."""
        self.number = number
        if self._may_break:
            self._may_break = False
            raise StopRequested(number)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """A signal only sets a number: what is at hand is ended and kept; a second one stops at once."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: object) -> None:
        signal.signal(number, handlers[signal.Signals(number)])
        stop.ask(number)

    for number in AT_FIRST:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            handlers[signal.Signals(number)] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
