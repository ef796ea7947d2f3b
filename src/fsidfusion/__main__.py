"""``python -m fsidfusion`` is the command ``fsidfusion``."""

import sys

from fsidfusion.cli import main
from fsidfusion.cli.guard import open_streams
from fsidfusion.cli.watchdog import STOPPED, watch


def run() -> int:
    """The command of this process; see :func:`fsidfusion.cli.main`."""
    open_streams()
    try:
        watch(sys.argv[1] if sys.argv[1:] else "")
        return main()
    except KeyboardInterrupt:  # before or after what the command itself does
        print(STOPPED.format(sys.argv[1] if sys.argv[1:] else ""), file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
