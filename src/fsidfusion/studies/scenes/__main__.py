"""`python -m fsidfusion.studies.scenes examples/` renders the example pairs into a folder."""

import sys
from pathlib import Path

from fsidfusion.studies.scenes.examples import write_examples

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fsidfusion.studies.scenes FOLDER")
    for path in write_examples(Path(sys.argv[1])):
        print(path)
