"""Folders as ZIP: pictures are taken out under numbers of ours, and their names stay text."""

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.encode import READABLE
from fsidfusion.images.pairs import Matches, Pair, Task, is_hidden, match_names
from fsidfusion.images.sets import sides_of
from fsidfusion.serving.uploads import Form, display_name, roles

MAX_ENTRIES = 20_000
_CHUNK = 1 << 20


@dataclass
class Taken:
    """The pictures of one job: for the name in its archive the file of ours."""

    pairs: list[Pair] = field(default_factory=list)  # named as the client does, with paths of ours
    task: Task = "thermal"
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # by path, the form field and the name
    alone: list[str] = field(default_factory=list)  # without partner


class Room:
    """What may still be unpacked."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def take(self, size: int) -> None:
        """Use some of it up; InputError where there is not so much."""
        self.left -= size
        if self.left < 0:
            raise InputError(
                f"the archives hold more than {self.limit / 1e6:g} MB, which is the limit of this service"
            )


def unpack(archive: BinaryIO, name: str, folder: Path, room: Room) -> dict[Path, Path]:
    """Take the pictures out of a ZIP archive.

    Args:
        archive: open for reading, at any place.
        name: the client's, for messages.
        folder: an empty one of ours.
        room: what may be unpacked, whatever the archive claims.

    Returns:
        for each picture its name in the archive and the file it is in.

    Raises:
        InputError: no ZIP archive, a damaged or encrypted one, or too much in it.
    """
    found: dict[Path, Path] = {}
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            if len(entries) > MAX_ENTRIES:
                raise InputError(f"{name} holds {len(entries)} files, the limit is {MAX_ENTRIES}; send fewer")
            for entry in entries:
                place = _place(entry.filename)
                if entry.is_dir() or place is None:
                    continue
                if entry.flag_bits & 1:
                    raise InputError(f"{name} is encrypted; pack it without a password")
                if place in found:
                    raise InputError(f"{name} holds {display_name(place.name, 'a file')} twice; pack it once")
                found[place] = folder / f"{len(found):06d}"
                with packed.open(entry) as source, found[place].open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        room.take(len(chunk))
                        target.write(chunk)
    except FusionError:
        raise
    except Exception as error:  # an untrusted file: whatever its reader raises, the file is what is wrong
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{name} is no ZIP archive that can be read ({reason}); pack it again") from error
    return found


def _place(name: str) -> Path | None:
    """The name of a picture as a relative path, as text alone; None for all else."""
    pure = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in pure.parts if part not in ("/", "..", ".")]
    hidden = any(is_hidden(part) or part == "__MACOSX" for part in parts)
    if not parts or hidden or pure.suffix.lower() not in READABLE or not all(p.isprintable() for p in parts):
        return None
    return Path(*parts)


def take_pairs(form: Form, folder: Path, limit: int) -> Taken:
    """Unpack the archives of a form and pair their pictures as the command line does.

    Either two archives, named as the pictures of one pair are, or one named ``pairs`` that holds two folders.

    Raises:
        InputError: archives that cannot be read, hold too much, or no pairs.
    """
    room = Room(limit)
    files: tuple[dict[Path, Path], ...]
    if "pairs" in form.files:
        upload = form.files["pairs"]
        name = display_name(upload.filename, "pairs")
        target = folder / "pairs"
        target.mkdir()
        found = unpack(upload.file, name, target, room)
        first, second, task = sides_of(found)
        fields = "pairs", "pairs"
        files = tuple(
            {
                side.name / place.relative_to(side): path
                for place, path in found.items()
                if place.parent == side
            }
            for side in (first, second)
        )
    else:
        one, two, task = roles(form)
        fields = one, two
        unpacked = []
        for role in fields:
            if role not in form.files:
                raise InputError(f"{role} is text, expected a ZIP archive; send it as a file")
            (folder / role).mkdir()
            label = display_name(form.files[role].filename, role)
            found = _without_top(unpack(form.files[role].file, label, folder / role, room))
            unpacked.append({role / place: path for place, path in found.items()})
        files = tuple(unpacked)
    return _paired(match_names(list(files[0]), list(files[1])), files, fields, task)


def _paired(
    matches: Matches, files: Sequence[Mapping[Path, Path]], fields: tuple[str, str], task: Task
) -> Taken:
    taken = Taken(task=task, alone=[path.as_posix() for path in matches.alone])
    for pair in matches.pairs:
        ours = files[0][pair.infrared], files[1][pair.visible]
        for path, place, role in zip(ours, (pair.infrared, pair.visible), fields):
            taken.names[str(path)] = (role, place.relative_to(place.parts[0]).as_posix())
        taken.pairs.append(Pair(pair.name, *ours))
    return taken


def _without_top(found: dict[Path, Path]) -> dict[Path, Path]:
    """The names below the one folder that holds all, as people pack a folder."""
    tops = {place.parts[0] for place in found}
    if len(tops) == 1 and all(len(place.parts) > 1 for place in found):
        return {Path(*place.parts[1:]): path for place, path in found.items()}
    return found


class Results:
    """The ZIP archive that a job's pictures go to, whole ones alone; names are those of the pairs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._packed = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)  # pictures are packed already

    def add(self, name: str, content: bytes) -> None:
        """Add one file."""
        self._packed.writestr(name, content)

    def close(self) -> None:
        """End the archive."""
        self._packed.close()

    def remove(self) -> None:
        """Leave nothing of it."""
        self._packed.close()
        shutil.rmtree(self.path.parent, ignore_errors=True)
