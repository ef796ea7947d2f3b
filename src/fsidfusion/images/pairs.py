"""Which two files make a pair: stems in folders, lists and globs. Folder layouts are in ``sets``.

In the medical task MRI takes the visible place and CT, PET or SPECT the infrared one.
"""

import glob
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from fsidfusion.errors import InputError
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.camera_names import nearest, of_side, pair_shots, shot_of
from fsidfusion.images.encode import READABLE
from fsidfusion.images.storage import as_place, is_address, listed
from fsidfusion.images.text import read_text

Task = Literal["thermal", "medical"]  # medical: MRI, with CT, PET or SPECT in the infrared place
Place = Literal["visible", "infrared"]

# which side a file is of, by the first such word of its name: IR_lake_g, Marne_01_Vis, IR12; NIR is neither
_WORDS = re.compile(
    r"(?<![a-z])(lwir|tir|ir|infrared|inf|thermal|vis|vi|visible|rgb)(?![a-z])", re.IGNORECASE
)
_MEASUREMENTS = (".csv", ".fff")  # thermal files that are taken where a glob ends in their extension
_VISIBLE_WORDS = ("vis", "vi", "visible", "rgb")


@dataclass(frozen=True)
class Pair:
    """Two files of one scene."""

    name: str  # common stem, with sub-folders in front where there are any: "night/00004N"
    infrared: Path  # infrared; CT, PET or SPECT
    visible: Path  # visible; MRI
    labels: Path | None = None  # segmentation map or boxes, where the set has them

    @property
    def is_embedded(self) -> bool:
        """Whether the visible picture is the one inside the thermal file."""
        return self.infrared == self.visible


@dataclass(frozen=True)
class Matches:
    """The pairs found among two groups of files, and the files that have no partner."""

    pairs: tuple[Pair, ...]
    alone: tuple[Path, ...]
    many: bool = True  # false where one file was named on each side
    nearest: dict[Path, Path] = field(default_factory=dict)  # of a file alone, the name that is most alike


@dataclass(frozen=True)
class _Source:
    path: Path
    stem: str
    wildcard: str | None  # what the one * of a glob's file name stood for
    listed: bool  # named one by one, so that its place in the list means something


Paths = Sequence[str | Path]


def match_pairs(infrared: Paths, visible: Paths, recursive: bool = False) -> Matches:
    """Pair files by stem, whatever their extensions; the last dot of a name begins its extension.

    Each item is a picture, a folder, a glob, a ``.txt`` file with one path a line, or an address of a store
    (:mod:`fsidfusion.images.storage`). Where no stem is
    common, two globs are matched by what their ``*`` stood for (``x/*_ir.png`` and ``x/*_vis.png``), and two
    equally long lists by position; so one file on each side is a pair whatever the names. Names that a
    thermal camera gave are matched by their numbers and stamps (:mod:`fsidfusion.images.camera_names`), also
    where one folder is given for both sides. Stems that differ in the word for their side alone are matched
    without it (``IR12.png`` and ``VIS12.png``).

    Args:
        infrared: files of the infrared place.
        visible: files of the visible place.
        recursive: look into sub-folders of folders; the stem then includes the sub-folder.

    Raises:
        InputError: nothing found on one side, two files of one side with the same stem, or no pair at all.
    """
    return _match(_expand(infrared, recursive), _expand(visible, recursive))


def match_names(infrared: Sequence[Path], visible: Sequence[Path]) -> Matches:
    """As :func:`match_pairs` does with two folders, by the names of files alone, which need not exist.

    Args:
        infrared: the first part of each is the folder of that side.
        visible: likewise.

    Raises:
        InputError: as :func:`match_pairs`.
    """
    first, second = (
        [_Source(p, Path(*p.with_suffix("").parts[1:]).as_posix(), None, False) for p in sorted(side)]
        for side in (infrared, visible)
    )
    if not first or not second:
        raise InputError(f"a folder holds no picture ({', '.join(READABLE)})")
    return _match(first, second)


def _match(first: list[_Source], second: list[_Source]) -> Matches:
    same = {s.path for s in first} == {s.path for s in second}
    left, right = _by_name(first, [s.stem for s in first]), _by_name(second, [s.stem for s in second])
    shots = pair_shots([s.path for s in first], [s.path for s in second])
    if shots and (same or not left.keys() & right.keys()):
        return _of_camera(shots, left, right, same)
    if not left.keys() & right.keys():
        both = first + second
        if all(s.wildcard for s in both):
            left = _by_name(first, [s.wildcard or "" for s in first])
            right = _by_name(second, [s.wildcard or "" for s in second])
        elif len(first) == len(second) and all(s.listed for s in both):
            left = {partner.stem: s.path for s, partner in zip(first, second)}
        elif all(side_of(s.stem) == "infrared" for s in first) and all(
            side_of(s.stem) == "visible" for s in second
        ):
            left = _by_name(first, [without_side(s.stem) for s in first])
            right = _by_name(second, [without_side(s.stem) for s in second])
    names = sorted(left.keys() & right.keys())
    if not names:
        raise InputError(
            f"no two files share a stem ({first[0].path.name}, {second[0].path.name}); rename them,"
            " or give two globs whose * stands for the common part: '*_ir.png' and '*_vis.png'"
        )
    files = left | right
    alone = [path for name, path in files.items() if (name in left) != (name in right)]
    many = not (len(first) == len(second) == 1 and first[0].listed and second[0].listed)
    return Matches(
        tuple(named_pair(n, left[n], right[n]) for n in names),
        tuple(sorted(alone)),
        many,
        _nearest(alone, list(left.values()), list(right.values())),
    )


def _of_camera(
    shots: Sequence[tuple[Path, Path]], left: dict[str, Path], right: dict[str, Path], same: bool
) -> Matches:
    """The pairs that the names of a camera tell; without partner are the thermal files that are left."""
    names = {path: name for name, path in left.items()}
    taken = {path for pair in shots for path in pair}
    thermal = of_side(list(left.values()), "thermal")
    alone = [path for path in thermal if path not in taken]
    if not same:  # a visible file of no thermal one's moment; further lenses are no mistake
        numbers = {shot.number for path in thermal if (shot := shot_of(path.stem))}
        alone += [p for p in right.values() if (shot := shot_of(p.stem)) and shot.number not in numbers]
    pairs = tuple(Pair(names[infrared], infrared, visible) for infrared, visible in shots)
    return Matches(
        pairs, tuple(sorted(alone)), True, _nearest(alone, thermal, of_side([*right.values()], "visible"))
    )


def _nearest(alone: Sequence[Path], infrared: Sequence[Path], visible: Sequence[Path]) -> dict[Path, Path]:
    """For files without partner the one of the other side whose name is most alike."""
    ours = set(infrared)
    found = {path: nearest(path, visible if path in ours else infrared) for path in alone}
    return {path: other for path, other in found.items() if other is not None}


def files_by_stem(items: Paths, recursive: bool = False) -> dict[str, Path]:
    """The files that :func:`match_pairs` finds on one side, by the stem that names a pair.

    Raises:
        InputError: nothing found, or two files with the same stem.
    """
    sources = _expand(items, recursive)
    return _by_name(sources, [source.stem for source in sources])


def side_of(stem: str) -> Place | None:
    """The side that a word of a name tells, such as IR or Vis."""
    word = _WORDS.search(stem)
    return None if word is None else "visible" if word[1].lower() in _VISIBLE_WORDS else "infrared"


def without_side(stem: str) -> str:
    """A name without the word for its side, which the other side has alike."""
    return _WORDS.sub("", stem, count=1).strip("_-. ").lower()


def _expand(items: Sequence[str | Path], recursive: bool) -> list[_Source]:
    sources: list[_Source] = []
    for item in items:
        path = as_place(str(item))
        if is_address(path):
            sources += _in_store(str(item), recursive)
        elif path.is_dir():
            sources += _in_folder(path, recursive)
        elif path.suffix.lower() == ".txt" and path.is_file():
            sources += _in_list(path, recursive)
        elif not path.exists() and glob.has_magic(str(item)):
            sources += _in_glob(str(item))
        else:  # a missing file is reported when its pair is read
            sources.append(_Source(path, path.stem, None, listed=True))
    return sources


def _in_folder(folder: Path, recursive: bool) -> list[_Source]:
    walk = folder.rglob("*") if recursive else folder.iterdir()
    files = sorted(p for p in walk if is_picture(p.relative_to(folder)) and p.is_file())
    if not files:
        hint = "" if recursive else "; `recursive` looks into its sub-folders"
        raise InputError(f"folder {folder} holds no picture ({', '.join(READABLE)}){hint}")
    return [_Source(p, p.relative_to(folder).with_suffix("").as_posix(), None, listed=False) for p in files]


def _in_store(address: str, recursive: bool) -> list[_Source]:
    found = listed(address, recursive)
    if len(found) == 1 and found[0][0] == as_place(address):
        return [_Source(found[0][0], found[0][0].stem, None, listed=True)]
    files = [(place, Path(below)) for place, below in found if is_picture(Path(below))]
    if not files:
        raise InputError(f"{address} holds no picture ({', '.join(READABLE)}); check the address")
    star = _star(PurePosixPath(address).name)
    return [
        _Source(place, below.with_suffix("").as_posix(), star(below.name), listed=False)
        for place, below in files
    ]


def _star(pattern: str) -> Callable[[str], str | None]:
    """What the one * of a pattern stands for in a name that matches it; None where there are others."""
    before, star, after = pattern.partition("*")
    single = star and not glob.has_magic(before + after)
    return lambda name: name[len(before) : len(name) - len(after)] if single else None


def _in_list(listing: Path, recursive: bool) -> list[_Source]:
    lines = [line.strip() for line in read_text(listing, "list of paths", MAX_LINES).splitlines()]
    if not any(lines):
        raise InputError(f"list {listing} is empty; expected one path a line")
    return _expand([line for line in lines if line], recursive)


def _in_glob(pattern: str) -> list[_Source]:
    files = sorted(Path(p) for p in glob.glob(pattern, recursive=True))  # noqa: PTH207 (takes absolute patterns)
    named = Path(pattern).suffix.lower() in _MEASUREMENTS  # which a glob of another kind may match by chance
    files = [p for p in files if p.is_file() and (named or is_picture(Path(p.name)))]
    if not files:
        raise InputError(f"no picture matches {pattern!r}; check the path")
    star = _star(Path(pattern).name)
    return [_Source(p, p.stem, star(p.name), listed=False) for p in files]


def is_picture(relative: Path) -> bool:
    """Whether a path below a folder has a picture's extension, and no hidden part."""
    return relative.suffix.lower() in READABLE and not any(map(is_hidden, relative.parts))


def is_hidden(name: str) -> bool:
    """Whether a name begins with a dot that hides it, which in ``....png`` it does not."""
    return name.startswith(".") and bool(Path(name).stem.strip("."))


def _by_name(sources: Iterable[_Source], names: Iterable[str]) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for source, name in zip(sources, names):
        if name in result:
            raise InputError(
                f"{result[name]} and {source.path} have the same stem {name!r}; remove or rename one"
            )
        result[name] = source.path
    return result


def named_pair(name: str, infrared: Path, visible: Path) -> Pair:
    """A pair of two different files. InputError where it is one."""
    if infrared == visible:
        raise InputError(f"{infrared} is given as both inputs; give two pictures of the same scene")
    return Pair(name, infrared, visible)
