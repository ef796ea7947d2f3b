"""What the commands say, in one place: parameters become options, and no echoed text moves the terminal.

Messages of the library name a parameter in backticks (`` `max_pixels` ``); a user of the command line reads
``--max-megapixels``. File names and values may hold anything: control characters, escapes of terminals and
marks that turn the writing around are shown as escapes, and what is too long is cut in the middle.
"""

import sys
from contextlib import suppress
from json import dumps

from fsidfusion.errors import as_options

LONGEST = 2000  # characters of a line


def plain(text: str) -> str:
    """One line of printable characters, cut in the middle where it is too long."""
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        text = f"{text[: LONGEST // 2]} [{left_out:,} characters left out] {text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str) -> None:
    """Print a line on standard output."""
    print(as_options(plain(text)))


def warn(text: str) -> None:
    """Print a line on standard error, if that can be written."""
    with suppress(OSError):
        print(as_options(plain(text)), file=sys.stderr, flush=True)


def print_json(content: object) -> None:
    """Print one JSON object on standard output."""
    print(dumps(content))
