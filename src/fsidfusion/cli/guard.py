"""How a command ends, in one place: one line and a status for whatever happens, whatever the streams are.

Status 0: done; 1: some of many failed, or time was up; 2: wrong call, or nothing could be done; 130: stopped
by Ctrl-C; 143: by SIGTERM; 129: by a terminal that closes; 141: the reader of the output went away, as for
programs that SIGPIPE ends.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from fsidfusion._signals import AT_FIRST
from fsidfusion.cli.messages import as_options, plain, warn
from fsidfusion.errors import FusionError, is_optional, missing

READER_GONE = 141
STOPPED = "stopped; what was finished is kept, run again to go on"
_stopped_by = 0
_told = False  # how it ended


class Stopped(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def has_told() -> bool:
    """Whether the command is over, and has said how."""
    return _told


def stop_status() -> int:
    """Of a command that ends early since it was stopped: 128 and the number of the signal."""
    return 128 + (_stopped_by or int(signal.SIGINT))


def guarded(name: str, run: Callable[[], int | None], debug: bool = False, json: bool = False) -> int:
    """Run a command; return its exit status.

    Args:
        name: of the command, before each message.
        run: what it does.
        debug: let an unexpected exception through, with its traceback.
        json: also print what went wrong as one JSON object on standard output.
    """
    global _told
    try:
        with _stoppable():
            status = int(run() or 0)
        _told = True
        sys.stdout.flush()
        return status
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 2 if exit_.code else 0
    except KeyboardInterrupt as stop:
        _told = True
        warn(f"{name}: {STOPPED}")
        return 128 + getattr(stop, "number", int(signal.SIGINT))
    except BrokenPipeError:
        _silence()
        return READER_GONE
    except Exception as error:
        if debug:
            raise
        if _stopped_by:  # of which a library made this: NumPy an ImportError, where it was being imported
            warn(f"{name}: {STOPPED}")
            return stop_status()
        reason = _reason(name, error)
        if json:
            _print_json(reason)
        warn(f"{name}: {reason}")
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _silence()
        return 2


def open_streams() -> None:
    """Put the null device where a standard stream is closed, whose place the next file would take."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115
        with suppress(AttributeError):  # a stream of a test
            getattr(sys, stream).reconfigure(errors="backslashreplace")  # names that are no Unicode


def _reason(name: str, error: Exception) -> str:
    if isinstance(error, FusionError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and is_optional(error.name or ""):
        return str(missing(error.name or "", name))
    if isinstance(error, MemoryError):
        return "not enough memory; try a smaller `tile` or `memory`"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        return "standard output cannot be written: no space left on its device"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where it comes from"


def _print_json(reason: str) -> None:
    from json import dumps

    with suppress(OSError):
        print(dumps({"status": 2, "error": as_options(plain(reason))}), flush=True)


def _silence() -> None:
    """Send what standard output still holds nowhere, or else the interpreter complains of it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _stoppable() -> Iterator[None]:
    """The signals that stop raise Stopped meanwhile, where nothing else handles them."""
    global _stopped_by
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        global _stopped_by
        _stopped_by = number
        raise Stopped(number)

    ours = [number for number, handler in AT_FIRST.items() if signal.getsignal(number) == handler]
    if ours:
        _stopped_by = 0
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, AT_FIRST[number])
