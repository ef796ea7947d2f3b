"""Which two files make a pair: stems in folders, lists and globs, and the folder layouts of the named sets.

In the medical task MRI takes the visible place and CT, PET or SPECT the infrared one.
"""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsidfusion.errors import UserError
from fsidfusion.images import FORMATS

Place = Literal["visible", "infrared"]  # of the two inputs; names the one whose colour the result carries

_LAYOUTS: tuple[tuple[str, str, Place], ...] = (
    # infrared folder, visible folder (in any case), whose colour is carried
    ("ir", "vi", "visible"),
    ("ir", "vis", "visible"),
    ("infrared", "visible", "visible"),
    ("ct", "mri", "infrared"),
    ("pet", "mri", "infrared"),
    ("spect", "mri", "infrared"),
)
_LABEL_FOLDERS = ("segmentation_labels", "labels")


@dataclass(frozen=True)
class Pair:
    """Two files of one scene."""

    name: str  # common stem, with sub-folders in front where there are any: "night/00004N"
    infrared: Path  # infrared; CT, PET or SPECT
    visible: Path  # visible; MRI
    labels: Path | None = None  # segmentation map or boxes, where the set has them


@dataclass(frozen=True)
class Matches:
    """The pairs found among two groups of files, and the files that have no partner."""

    pairs: tuple[Pair, ...]
    alone: tuple[Path, ...]
    many: bool = True  # false where one file was named on each side


@dataclass(frozen=True)
class PairSet:
    """A named set of pairs, in the order of their names."""

    name: str
    pairs: tuple[Pair, ...]
    colour: Place


@dataclass(frozen=True)
class _Source:
    path: Path
    stem: str
    wildcard: str | None  # what the one * of a glob's file name stood for
    listed: bool  # named one by one, so that its place in the list means something


Paths = Sequence[str | Path]


def match_pairs(infrared: Paths, visible: Paths, recursive: bool = False) -> Matches:
    """Pair files by stem, whatever their extensions; the last dot of a name begins its extension.

    Each item is a picture, a folder, a glob, or a ``.txt`` file with one path a line. Where no stem is
    common, two globs are matched by what their ``*`` stood for (``x/*_ir.png`` and ``x/*_vis.png``), and two
    equally long lists by position; so one file on each side is a pair whatever the names.

    Args:
        infrared: files of the infrared place.
        visible: files of the visible place.
        recursive: look into sub-folders of folders; the stem then includes the sub-folder.

    Raises:
        UserError: nothing found on one side, two files of one side with the same stem, or no pair at all.
    """
    first, second = _expand(infrared, recursive), _expand(visible, recursive)
    left, right = _by_name(first, [s.stem for s in first]), _by_name(second, [s.stem for s in second])
    if not left.keys() & right.keys():
        both = first + second
        if all(s.wildcard for s in both):
            left = _by_name(first, [s.wildcard or "" for s in first])
            right = _by_name(second, [s.wildcard or "" for s in second])
        elif len(first) == len(second) and all(s.listed for s in both):
            left = {partner.stem: s.path for s, partner in zip(first, second)}
    names = sorted(left.keys() & right.keys())
    if not names:
        raise UserError(
            f"no two files share a stem ({first[0].path.name}, {second[0].path.name}); rename them,"
            " or give two globs whose * stands for the common part: '*_ir.png' and '*_vis.png'"
        )
    alone = [path for name, path in (left | right).items() if (name in left) != (name in right)]
    many = not (len(first) == len(second) == 1 and first[0].listed and second[0].listed)
    return Matches(tuple(_pair(n, left[n], right[n]) for n in names), tuple(sorted(alone)), many)


def files_by_stem(items: Paths, recursive: bool = False) -> dict[str, Path]:
    """The files that :func:`match_pairs` finds on one side, by the stem that names a pair.

    Raises:
        UserError: nothing found, or two files with the same stem.
    """
    sources = _expand(items, recursive)
    return _by_name(sources, [source.stem for source in sources])


def open_set(folder: str | Path, split: Literal["train", "test"] | None = None) -> PairSet:
    """Open one set by its folders: ``ir`` and ``vi`` or ``vis``; ``MRI`` and ``CT``, ``PET`` or ``SPECT``.

    Args:
        folder: holds the two modality folders, or ``train`` and ``test`` that hold them (MSRS).
        split: which of the two, where the set has them.

    Raises:
        UserError: no such folder, no or several layouts in it, or no pairs.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; expected a set of pairs such as one that holds ir and vi")
    sets = _sets_in(root / split if split and (root / split).is_dir() else root)
    if len(sets) != 1:
        found = "several sets" if sets else "no set"
        splits = [name for name in ("train", "test") if _sets_in(root / name)]
        hint = (
            f"choose its split: {' or '.join(splits)}"
            if splits
            else "expected ir and vi, or MRI and CT/PET/SPECT"
        )
        raise UserError(f"{root} holds {found}; {hint}")
    return sets[0]


def find_sets(root: str | Path) -> list[PairSet]:
    """All sets in a folder and up to two levels below it, by name; [] where there is none."""
    root = Path(root)
    folders = [root, *(p for depth in ("*", "*/*") for p in sorted(root.glob(depth)) if p.is_dir())]
    return [found for folder in folders for found in _sets_in(folder)]


def _sets_in(folder: Path) -> list[PairSet]:
    if not folder.is_dir():
        return []
    inside = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    layouts = [layout for layout in _LAYOUTS if layout[0] in inside and layout[1] in inside]
    labels = next((inside[name] for name in _LABEL_FOLDERS if name in inside), None)
    sets = []
    for infrared, visible, colour in layouts:
        matches = match_pairs([inside[infrared]], [inside[visible]])
        by_stem = {p.stem: p for p in labels.iterdir()} if labels else {}
        pairs = tuple(Pair(p.name, p.infrared, p.visible, by_stem.get(p.name)) for p in matches.pairs)
        name = folder.name if len(layouts) == 1 else f"{folder.name}/{infrared}-{visible}"
        sets.append(PairSet(name, pairs, colour))
    return sets


def _expand(items: Sequence[str | Path], recursive: bool) -> list[_Source]:
    sources: list[_Source] = []
    for item in items:
        path = Path(item)
        if path.is_dir():
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
    files = sorted(p for p in walk if _is_picture(p.relative_to(folder)) and p.is_file())
    if not files:
        hint = "" if recursive else "; --recursive looks into its sub-folders"
        raise UserError(f"folder {folder} holds no picture ({', '.join(FORMATS)}){hint}")
    return [_Source(p, p.relative_to(folder).with_suffix("").as_posix(), None, listed=False) for p in files]


def _in_list(listing: Path, recursive: bool) -> list[_Source]:
    lines = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines()]
    if not any(lines):
        raise UserError(f"list {listing} is empty; expected one path a line")
    return _expand([line for line in lines if line], recursive)


def _in_glob(pattern: str) -> list[_Source]:
    files = sorted(Path(p) for p in glob.glob(pattern, recursive=True))  # noqa: PTH207 (takes absolute patterns)
    files = [p for p in files if _is_picture(Path(p.name)) and p.is_file()]
    if not files:
        raise UserError(f"no picture matches {pattern!r}; check the path")
    before, star, after = Path(pattern).name.partition("*")
    single = star and not glob.has_magic(before + after)
    return [
        _Source(p, p.stem, p.name[len(before) : len(p.name) - len(after)] if single else None, listed=False)
        for p in files
    ]


def _is_picture(relative: Path) -> bool:
    return relative.suffix.lower() in FORMATS and not any(part.startswith(".") for part in relative.parts)


def _by_name(sources: Iterable[_Source], names: Iterable[str]) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for source, name in zip(sources, names):
        if name in result:
            raise UserError(
                f"{result[name]} and {source.path} have the same stem {name!r}; remove or rename one"
            )
        result[name] = source.path
    return result


def _pair(name: str, infrared: Path, visible: Path) -> Pair:
    if infrared == visible:
        raise UserError(f"{infrared} is given as both inputs; give two pictures of the same scene")
    return Pair(name, infrared, visible)
