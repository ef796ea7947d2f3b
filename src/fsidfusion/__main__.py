"""``python -m fsidfusion`` is the command ``fsidfusion``."""

import sys

from fsidfusion.cli import main

if __name__ == "__main__":
    sys.exit(main())
