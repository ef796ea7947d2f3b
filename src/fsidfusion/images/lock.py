"""One process at a time where two would spoil each other's files."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from fsidfusion.errors import InputError


@contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock file while the block runs; the system frees it when the process dies, however it does.

    Raises:
        InputError: another process holds it: ``otherwise``, and what to do.
    """
    held = filelock.FileLock(lock)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"{otherwise}; wait for its end, or choose another folder") from None
    except OSError as error:
        raise InputError(f"cannot write {lock} ({error.strerror}); choose another folder") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove an open file: there it stays, unlocked
            lock.unlink(missing_ok=True)
        held.release()
