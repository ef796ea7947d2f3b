"""A stop that is asked for happens within two seconds, whatever a native library does with the signal.

Ctrl-C becomes an exception in Python code; a library that computes delays it, and one that calls back into
Python may swallow it. So a thread of its own hears of the signal too, gives the command a while to end in
good order, and then ends it.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from fsidfusion._signals import AT_FIRST, keep_all
from fsidfusion.cli.guard import STOPPED, has_told, stop_status
from fsidfusion.images.atomic import discard_parts

_LATER = 0.02  # seconds
GRACE = 0.9  # seconds for a command to end by itself
SLOW = {  # commands that have something to bring home first
    "video": 15.0,  # the frames that are on their way, and the end of the file
    "live": 8.0,  # the end of the file
    "data": 10.0,  # the pair at hand
    "serve": 30.0,  # the requests that are under way
}


def watch(command: str) -> None:
    """Begin to watch for the signals that stop, for the rest of the process."""
    grace = SLOW.get(command, GRACE)
    if threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sys.unraisablehook = _again
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reader, command, grace), daemon=True).start()


def _again(lost: Any) -> None:
    """An interrupt that came where exceptions are dropped (in a destructor, in a callback) comes again."""
    if issubclass(lost.exc_type, KeyboardInterrupt):  # its value may not have been made yet
        number = getattr(lost.exc_value, "number", stop_status() - 128)
        thread = threading.main_thread().ident
        threading.Timer(_LATER, signal.pthread_kill, (thread, number)).start()  # here it would be lost again
    else:
        sys.__unraisablehook__(lost)


def _wait(reader: int, command: str, grace: float) -> None:
    while number := int.from_bytes(os.read(reader, 1)):
        if number in AT_FIRST:
            time.sleep(grace)
            said = STOPPED
            with suppress(Exception):  # whatever fails in bringing it home, the process ends
                said = keep_all() or STOPPED
            discard_parts()
            with suppress(OSError):  # the terminal may be gone
                if not has_told():
                    os.write(2, f"fsidfusion {command}: {said}\n".encode())
            os._exit(128 + number)
