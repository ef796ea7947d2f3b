"""The signals that stop a command: Ctrl-C, SIGTERM, and SIGHUP of a terminal that closes."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AT_FIRST: dict[int, Any] = {  # what they do by themselves; Windows has no SIGHUP
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    **({signal.SIGHUP: signal.SIG_DFL} if hasattr(signal, "SIGHUP") else {}),
}

_last: list[Callable[[], str]] = []


@contextmanager
def at_last(keep: Callable[[], str]) -> Iterator[None]:
    """Meanwhile ``keep`` brings home what would be lost if the process ended, and says what it kept or "".

    It is called from another thread, where a stop was asked for and native code does not heed it.
    """
    _last.append(keep)
    try:
        yield
    finally:
        _last.remove(keep)


def keep_all() -> str:
    """Bring home all that is promised, what began last first; what is to be said of it."""
    return "; ".join(said for keep in reversed(list(_last)) if (said := keep()))
