"""Files that lie in object stores and on the web, by their addresses: listed, fetched and put whole.

fsspec knows the stores; who may use them is told to it by environment variables or its own configuration,
never to this package. What is fetched becomes a local file that goes through the same door as any other.
"""

import glob
import re
import secrets
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from fsidfusion.errors import FusionError, InputError, required
from fsidfusion.images.atomic import is_written
from fsidfusion.images.budget import MAX_FETCHED
from fsidfusion.images.text import reason

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")  # two letters at least: C:/ is a disk
_ON_DISK = ("file://", "local://")
_READ_ONLY = ("http", "https", "github", "data")
# these show an object when all of it is there; elsewhere it is written under another name and then renamed
_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory")


class Address(PurePosixPath):
    """``s3://bucket/night/1.png`` where a path is expected; only this module opens it."""

    def __str__(self) -> str:
        scheme, colon, rest = super().__str__().partition(":/")
        return f"{scheme}://{rest}" if colon else scheme  # a name below another place


def is_address(place: object) -> bool:
    """Whether a place is in a store rather than on a disk."""
    if isinstance(place, Address):
        return True
    return isinstance(place, str) and bool(_ADDRESS.match(place)) and not place.startswith(_ON_DISK)


def as_place(text: str) -> Path:
    """A path, or an :class:`Address` in its stead, which is named and matched as paths are.

    Raises:
        InputError: an address that nothing can be found by.
    """
    if not is_address(text):
        return Path(re.sub("^(file|local)://", "", text))
    scheme, _, rest = text.partition("://")
    if "::" in text or "//" in rest or rest.startswith("/") or not rest:
        raise InputError(f"{text} is no address of a file or folder; expected one such as s3://bucket/folder")
    return cast(Path, Address(f"{scheme.lower()}://{rest}"))


def is_there(place: Path) -> bool:
    """Whether a result stands at a place: a file or an object that is not empty.

    Raises:
        InputError: the store does not tell.
    """
    if not is_address(place):
        return is_written(place)
    system, path = _system(place)
    try:
        found = system.info(path)
    except FileNotFoundError:
        return False
    except Exception as error:
        raise _failed(place, "cannot be looked up", error) from error
    return found.get("type") == "file" and bool(found.get("size"))


def present(places: Sequence[Path]) -> set[Path]:
    """Those places at which a result stands; told by listing each folder once.

    Raises:
        InputError: a store does not tell.
    """
    found: set[Path] = set()
    for folder in dict.fromkeys(place.parent for place in places):
        if is_address(folder):
            system, path = _system(folder)
            try:
                entries = system.ls(path, detail=True)
            except FileNotFoundError:
                continue
            except Exception as error:
                raise _failed(folder, "cannot be listed", error) from error
            names = [e["name"].rpartition("/")[2] for e in entries if e["type"] == "file" and e["size"]]
            found |= {folder / name for name in names}
    return {place for place in places if place in found or (not is_address(place) and is_written(place))}


def listed(text: str, recursive: bool) -> list[tuple[Path, str]]:
    """The files that an address names: itself, those of a folder, or those that match its glob.

    Args:
        text: one with an extension is a file, one with ``*``, ``?`` or ``[`` a glob, any other a folder.
        recursive: look into folders below a folder.

    Returns:
        each with its place below the folder (of globs and files the name), in the order of the names.

    Raises:
        InputError: the store does not tell.
    """
    place = as_place(text)
    pattern = _is_pattern(text)
    if not pattern and place.suffix and not text.endswith("/"):
        return [(place, place.name)]
    system, path = _system(place)
    try:
        if pattern:
            found = system.glob(path)
        else:
            found = system.find(path, maxdepth=None if recursive else 1)
    except FileNotFoundError:
        found = []
    except Exception as error:
        raise _failed(place, "cannot be listed", error) from error
    base, root = (_plain_part(text), _plain_part(path)) if pattern else (text.rstrip("/"), path.rstrip("/"))
    below = [name.removeprefix(f"{root}/") for name in sorted(found)]
    files = [(as_place(f"{base}/{name}"), name) for name in below]
    return [(file, file.name) if pattern else (file, name) for file, name in files]


def _plain_part(pattern: str) -> str:
    """The folder that is above all that a glob can match."""
    first = min(at for at in (pattern.find(sign) for sign in "*?[") if at >= 0)
    return pattern[:first].rpartition("/")[0]


def _is_pattern(text: str) -> bool:
    return glob.has_magic(
        text.replace("?", "") if text.startswith("http") else text
    )  # ? begins a query there


def fetch(place: Path, to: Path) -> None:
    """Copy what lies at an address into a new local file.

    Raises:
        InputError: it is not there, may not be read, is over the budget, or broke off.
    """
    system, path = _system(place)
    try:
        system.get_file(path, str(to), callback=_budget(place))
    except FusionError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{place} does not exist; check the address") from error
    except Exception as error:
        raise _failed(place, "cannot be fetched", error) from error
    if not to.is_file():
        raise InputError(f"{place} is a folder, expected a file; give a file")


def put(content: bytes, place: Path) -> None:
    """Write an object whole, or leave what was there.

    Raises:
        InputError: the store does not take it.
    """
    check_writable(place)
    system, path = _system(place)
    try:
        if str(place).partition(":")[0] in _WHOLE:
            system.pipe_file(path, content)
            return
        folder, _, name = path.rpartition("/")
        system.makedirs(folder, exist_ok=True)
        hidden = f"{folder}/.fsidfusion-{secrets.token_hex(6)}-{name}.part"
        try:
            system.pipe_file(hidden, content)
            system.mv(hidden, path)
        except BaseException:
            if system.exists(hidden):
                system.rm_file(hidden)
            raise
    except Exception as error:
        raise _failed(place, "cannot be written", error) from error


def check_writable(place: Path) -> None:
    """InputError where a result can never be written."""
    if str(place).partition(":")[0] in _READ_ONLY:
        raise InputError(f"output {place} cannot be written: the web is only read; give a folder or a store")


def _system(place: Path) -> tuple[Any, str]:
    """The store of an address, and its path there."""
    fsspec = required("fsspec", f"{place}")
    try:
        # what another worker wrote must be seen, so that nothing is taken from remembered listings
        system, path = fsspec.core.url_to_fs(str(place), use_listings_cache=False)
    except ImportError as error:
        raise InputError(f"{place}: {reason(error)}") from error
    except Exception as error:
        raise _failed(place, "is in no store that can be reached", error) from error
    return system, path


def _budget(place: Path) -> Any:
    """A callback that stops a transfer over the budget, whatever its length was said to be."""
    from fsspec.callbacks import Callback

    class Budget(Callback):
        def call(self, *arguments: object, **named: object) -> None:
            if max(self.size or 0, self.value) > MAX_FETCHED:
                limit = f"{MAX_FETCHED >> 30} GiB"
                raise InputError(f"{place} is over {limit}, which is no picture; leave it out")

    return Budget()


def _failed(place: Path, what: str, error: BaseException) -> InputError:
    return InputError(f"{place} {what} ({type(error).__name__}: {reason(error)}); check address and rights")
