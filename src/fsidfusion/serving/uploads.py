"""What clients send: forms of files and fields, read within limits and kept under names of our own."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import Part
from fsidfusion.images.pairs import Pair, Task
from fsidfusion.serving.problems import Problem

MAX_FILES, MAX_FIELDS, MAX_FIELD_BYTES = 4, 40, 4096
_ROLES = ("infrared", "visible", "mri", "ct", "pet", "spect")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Form:
    """The parts of one request."""

    files: Mapping[str, UploadFile]
    fields: Mapping[str, str]


@asynccontextmanager
async def read_form(request: Request, limit: int) -> AsyncIterator[Form]:
    """Read a multipart form; what is large waits in files that have no name, and is gone in the end.

    Args:
        request: whose body has not been read.
        limit: most bytes of the body; where its size is announced, nothing of a larger one is read.

    Raises:
        Problem: too large, no form, or a damaged one.
        ClientDisconnect: the client went away in the middle.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem(415, "form", "expected a form with files (multipart/form-data), as curl -F sends it")
    parser = MultiPartParser(
        request.headers,
        _counted(request, limit),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        parsed = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, "form", f"the form cannot be read: {error.message}") from error
    try:
        files: dict[str, UploadFile] = {}
        fields: dict[str, str] = {}
        for name, value in parsed.multi_items():
            if name in files or name in fields:
                raise Problem(422, "form", f"field {name[:60]!r} is given twice; give it once")
            if isinstance(value, str):
                fields[name] = value
            else:
                files[name] = value
        yield Form(files, fields)
    finally:
        await parsed.close()


async def _counted(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        yield chunk


def _too_large(limit: int) -> Problem:
    return Problem(
        413, "size", f"the request has more than {limit / 1e6:g} MB, which is the limit of this service", "",
        {"Connection": "close"},
    )  # fmt: skip


def display_name(name: str | None, otherwise: str) -> str:
    """What a client calls a file, for messages: the last part, printable and short."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[:_LONGEST_NAME] or otherwise


class Scratch:
    """A folder of the service, in which each request has one of its own."""

    def __init__(self) -> None:
        self._part = Part(Path(tempfile.gettempdir()) / "folder", folder=True, own=True)
        self.root = self._part.path

    def folder(self) -> Path:
        """A fresh folder."""
        return Path(tempfile.mkdtemp(dir=self.root))

    @staticmethod
    async def remove(folder: Path) -> None:
        """Remove one with all that is in it."""
        await run_in_threadpool(shutil.rmtree, folder, True)

    def close(self) -> None:
        """Remove all."""
        self._part.close()


def roles(form: Form) -> tuple[str, str, Task]:
    """The fields of the infrared and of the visible place, and the task.

    Raises:
        InputError: not two that belong together.
    """
    given = [name for name in _ROLES if name in form.files or form.fields.get(name)]
    if given == ["infrared", "visible"]:
        return "infrared", "visible", "thermal"
    if given in (["mri", "ct"], ["mri", "pet"], ["mri", "spect"]):
        return given[1], "mri", "medical"
    raise InputError(
        f"given {', '.join(given) or 'no picture'}; expected infrared and visible,"
        " or mri and one of ct, pet, spect"
    )


@dataclass(frozen=True)
class SavedPair:
    """A pair in a folder of ours; ``names`` tell for each path the form field and the client's name."""

    pair: Pair
    task: Task
    fields: Mapping[str, str]
    alignment: Path | None
    names: Mapping[str, tuple[str, str]]


def save_pair(form: Form, folder: Path) -> SavedPair:
    """Copy the pictures of a form into a folder, under the names of their fields.

    Raises:
        InputError: not two pictures that belong together, or a field that should be a file.
    """
    first, second, task = roles(form)
    names: dict[str, tuple[str, str]] = {}
    paths: dict[str, Path] = {}
    for role in (first, second, "align"):
        upload = form.files.get(role)
        if upload is None:
            continue
        path = folder / role  # what it is, its content tells
        with path.open("wb") as target:
            shutil.copyfileobj(upload.file, target, 1 << 20)
        paths[role] = path
        names[str(path)] = (role, display_name(upload.filename, role))
    if task == "thermal" and form.fields.get("visible") == "embedded":
        paths["visible"] = paths.get("infrared", folder)
    for role in (first, second):
        if role not in paths:
            raise InputError(f"{role} is text, expected a picture; send it as a file (curl -F {role}=@FILE)")
    if unknown := set(form.files) - {first, second, "align"}:
        raise InputError(
            f"file {min(unknown)[:60]!r} is not expected beside {first} and {second}; leave it out"
        )
    rest = {name: text for name, text in form.fields.items() if name not in _ROLES}
    return SavedPair(Pair("pair", paths[first], paths[second]), task, rest, paths.get("align"), names)
