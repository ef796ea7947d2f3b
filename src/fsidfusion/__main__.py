"""``python -m fsidfusion`` is the command ``fsidfusion``."""

import sys

from fsidfusion.cli import main
from fsidfusion.cli.watchdog import watch


def run() -> int:
    """The command of this process; see :func:`fsidfusion.cli.main`."""
    watch(sys.argv[1] if sys.argv[1:] else "")
    return main()


if __name__ == "__main__":
    sys.exit(run())
