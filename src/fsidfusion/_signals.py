"""The signals that stop a command: Ctrl-C, SIGTERM, and SIGHUP of a terminal that closes."""

import signal
from typing import Any

AT_FIRST: dict[int, Any] = {  # what they do by themselves; Windows has no SIGHUP
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    **({signal.SIGHUP: signal.SIG_DFL} if hasattr(signal, "SIGHUP") else {}),
}
