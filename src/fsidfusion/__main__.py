"""``python -m fsidfusion`` is the command ``fsidfusion``."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from fsidfusion._signals import AT_FIRST


def run() -> int:
    """The command of this process; see :func:`fsidfusion.cli.main`.

    The signals that stop end it in one line from here on, also while libraries are imported and taken down.
    """
    ours = [number for number, handler in AT_FIRST.items() if signal.getsignal(number) == handler]
    for number in ours:  # others, such as nohup's, stay
        signal.signal(number, _end)
    from fsidfusion.cli import main
    from fsidfusion.cli.guard import open_streams
    from fsidfusion.cli.watchdog import watch

    open_streams()
    watch(sys.argv[1] if sys.argv[1:] else "")
    for number in ours:
        signal.signal(number, AT_FIRST[number])
    try:
        return main()
    except KeyboardInterrupt as stop:  # before or after what guards the command
        _end(getattr(stop, "number", signal.SIGINT), None)
        raise
    finally:
        for number in ours:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    """End at once; nothing has been begun, or all is done."""
    with suppress(OSError):
        os.write(2, b"fsidfusion: stopped\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(run())
