"""Keep the memory of large tensors instead of giving it back and fetching it again."""

import ctypes
import sys
from typing import Any

# from glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

is_brief = False  # whether a runtime should keep no memory for a next pass


def keep_large_blocks() -> bool:
    """Let glibc reuse freed blocks of up to 32 MiB, for the whole process; true where that took effect.

    By default such blocks are mapped afresh from the system and given back at once, so that every tensor of
    a pass pays for its page faults. For the published network on a 480x640 pair that was a third of the
    time; keeping the blocks leaves a tenth of it, for about 10 % more memory at the peak, of which up to 1
    GiB stays with the process. Larger blocks would not find a place of their size again, and only make the
    process grow. Does nothing where the C library is not glibc (macOS, Windows, Alpine).
    """
    global is_brief
    is_brief = False
    library = _glibc()
    return bool(
        library
        and library.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        and library.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    )


def give_back_at_once() -> bool:
    """Let a process that fuses one pair give every block back when it is free; true where that took effect.

    Nothing would use it again: the peak of a 640x480 pair is a fifth lower, and its first pass as fast.
    """
    global is_brief
    is_brief = True
    library = _glibc()
    return bool(library and library.mallopt(_M_MMAP_THRESHOLD, 64 << 10))


def _glibc() -> Any:
    """The C library, where it is glibc."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "gnu_get_libc_version") else None
