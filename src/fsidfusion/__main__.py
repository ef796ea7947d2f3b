"""``python -m fsidfusion`` is the command ``fsidfusion``."""

import _signal  # of which signal is made; without its enumerations, signals are heeded milliseconds sooner
import os
import sys

TYPE_CHECKING = False  # likewise, instead of typing's
if TYPE_CHECKING:
    from types import FrameType


def run() -> int:
    """The command of this process; see :func:`fsidfusion.cli.main`.

    The signals that stop end it in one line from here on, also while libraries are imported and taken down.
    """
    stops = [getattr(_signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(_signal, name)]
    before = {number: _signal.getsignal(number) for number in stops}
    usual = (_signal.SIG_DFL, _signal.default_int_handler)
    ours = [number for number in stops if before[number] in usual]  # others, such as nohup's, stay
    for number in ours:
        _signal.signal(number, _end)
    from fsidfusion.cli import main
    from fsidfusion.cli.guard import open_streams
    from fsidfusion.cli.watchdog import watch

    open_streams()
    watch(sys.argv[1] if sys.argv[1:] else "")
    for number in ours:
        _signal.signal(number, before[number])
    try:
        status = main()
        if status > 128:
            _leave(status)
        return status
    except KeyboardInterrupt as stop:  # before or after what guards the command
        _end(getattr(stop, "number", _signal.SIGINT), None)
        raise
    finally:
        for number in ours:
            _signal.signal(number, _end)


def _leave(status: int) -> None:
    """End a command that was stopped: native libraries may take seconds to be taken down in order."""
    import atexit

    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            pass
    atexit._run_exitfuncs()  # child processes and temporary folders
    os._exit(status)


def _end(number: int, frame: "FrameType | None") -> None:
    """End at once; nothing has been begun, or all is done."""
    try:  # noqa: SIM105 (contextlib may be what is being imported)
        os.write(2, b"fsidfusion: stopped\n")
    except OSError:
        pass
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(run())
