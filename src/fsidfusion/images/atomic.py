"""The one way in which a file is written: whole under its name, or not at all.

It is written beside its place under a hidden name, forced to the disk, and then renamed, so that neither a
kill nor a power cut leaves half of it under its own name. Hidden ones that a killed run left are removed by
the next run that writes into the folder: who writes one holds a lock on it, which ends with its process.
"""

import ctypes
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fsidfusion.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: parts are then told by their age alone
    fcntl = None  # type: ignore[assignment]

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # locks are not seen from every other machine
_NAME = re.compile(r"\.fsid(?:fusion)?-([0-9a-f]{8})-(?:[0-9a-f]{12}\.part|[0-9a-f]{6})")
_HERE, _EXCHANGE = -100, 2  # of renameat2: relative to the working folder; both names change places
_OLD = 86_400.0  # seconds after which another machine's part is nobody's

_open: "set[Part]" = set()
_swept: set[Path] = set()
_guard = threading.Lock()


def _step(name: str) -> None:
    """Called before each change of the disk: create, sync, unlink, rename, done. Tests stop or fail here."""


class Part:
    """A file or folder on its way: under a hidden name beside its place, which it takes at the end."""

    def __init__(self, target: Path, folder: bool = False, own: bool = False) -> None:
        """Begin it, empty; ``own``: a folder that other users cannot read, of a short name.

        Raises:
            OSError: nothing can be written there.
        """
        self.target = target
        remove_old_parts(target.parent)
        _step("create")
        while True:
            self.path = target.with_name(f".fsidfusion-{_HOST}-{secrets.token_hex(6)}.part")
            if own:  # short, since it may hold sockets, whose paths have 107 characters at most
                self.path = target.with_name(f".fsid-{_HOST}-{secrets.token_hex(3)}")
                try:
                    self.path.mkdir(0o700)
                except FileExistsError:
                    continue
            elif folder:
                self.path.mkdir()
            with _guard:
                self._descriptor = _descriptor(self.path, folder)
                if self._descriptor is None or _locked(self._descriptor, without=True):
                    _open.add(self)
                    return
            os.close(self._descriptor)  # someone who tidies up was quicker

    def commit(self) -> None:
        """Bring it to the disk and to its place. OSError where that cannot be; it is then still there."""
        _step("sync")
        for path in (self.path, *(sorted(self.path.iterdir()) if self.path.is_dir() else ())):
            _sync(path)
        _step("rename")
        if self.path.is_dir() and self.target.is_dir():
            _change_places(self.path, self.target)
        else:
            self.path.replace(self.target)
        with suppress(OSError):
            _sync(self.target.parent)
        _step("done")

    def close(self) -> None:
        """Leave nothing of it under the hidden name."""
        with _guard:
            _open.discard(self)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _remove(self.path)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder beside the places of what is made in it, gone when the block ends."""
    part = Part(parent / "folder", folder=True)
    try:
        yield part.path
    finally:
        part.close()


@contextmanager
def temporary_folder(place: str | None = None) -> Iterator[Path]:
    """An empty folder of this user alone, among the temporary ones or in ``place``, gone when the block ends.

    Unlike tempfile's, one that a killed process leaves is removed by the next process that makes one.
    """
    part = Part(Path(place or tempfile.gettempdir()) / "folder", folder=True, own=True)
    try:
        yield part.path
    finally:
        part.close()


def put_in_place(made: Sequence[Path], folder: Path) -> None:
    """Give finished files their names in a folder on the same disk.

    Two files cannot be replaced at once. The last one refers to the others, so an earlier one of its name
    goes first: a kill leaves it out, but never beside files that it does not mean.

    Raises:
        OSError: they cannot be written there.
    """
    _step("sync")
    for path in made:
        _sync(path)
    if len(made) > 1:
        _step("unlink")
        (folder / made[-1].name).unlink(missing_ok=True)
    for path in made:
        _step("rename")
        path.replace(folder / path.name)
    with suppress(OSError):
        _sync(folder)
    _step("done")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes ``path`` when the block ends well, and leaves nothing when it does not."""
    part = Part(path)
    try:
        with part.path.open("r+b") as stream:
            yield stream
        part.commit()
    finally:
        part.close()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. InputError where it cannot be written."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, with the folders above it. InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            stream.write(content)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another place") from error


def is_written(path: Path) -> bool:
    """Whether a result stands under a name: a file that is not empty. A folder or nothing is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 (one call for both)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def remove_old_parts(folder: Path) -> None:
    """Remove what killed runs of this program left in a folder; once for each folder and process."""
    with _guard:
        if folder in _swept:
            return
        _swept.add(folder)
    with suppress(OSError):
        for entry in os.scandir(folder):
            if (name := _NAME.fullmatch(entry.name)) and _is_left(Path(entry.path), name[1]):
                _remove(Path(entry.path))


def discard_parts() -> None:
    """Leave nothing of what is being written: for a program that has to end at once."""
    for part in list(_open):
        _remove(part.path)


def _change_places(new: Path, old: Path) -> None:
    """Put one folder in the place of another, which takes its name: at once, where the system can (Linux).

    Elsewhere the earlier one stands under a plain name meanwhile, so that a kill loses nothing.
    """
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        exchange = None
    if exchange and not exchange(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE):
        return
    aside = old.with_name(f"{old.name}.replaced-{secrets.token_hex(3)}")
    old.replace(aside)
    try:
        _step("aside")
        new.replace(old)
    except OSError:
        aside.replace(old)
        raise
    aside.replace(new)


def _is_left(path: Path, host: str) -> bool:
    """Whether nobody writes a part any more."""
    with suppress(OSError):
        if host != _HOST or fcntl is None:
            return time.time() - path.stat().st_mtime > _OLD
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return _locked(descriptor, without=False)
        finally:
            os.close(descriptor)
    return False


def _descriptor(path: Path, folder: bool) -> int | None:
    """Of a new file or a folder, to hold a lock by; None where locks are not known."""
    if not folder:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl:
            return descriptor
        os.close(descriptor)
    return os.open(path, os.O_RDONLY) if fcntl else None


def _locked(descriptor: int, without: bool) -> bool:
    """Take the lock: false where another process has it, ``without`` on a file system that has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return without
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
