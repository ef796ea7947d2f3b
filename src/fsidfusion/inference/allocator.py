"""Keep the memory of large tensors instead of giving it back and fetching it again."""

import ctypes
import sys

# from glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more (HEAP_MAX_SIZE / 2 on 64 bits)


def keep_large_blocks() -> bool:
    """Let glibc reuse freed blocks of many megabytes, for the whole process; true where that took effect.

    By default each such block is mapped afresh from the system and given back at once, so that every tensor
    of a pass pays for page faults, which can cost as much as the arithmetic. In exchange the process keeps
    its peak memory until it ends. Does nothing where the C library is not glibc (macOS, Windows, Alpine).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
