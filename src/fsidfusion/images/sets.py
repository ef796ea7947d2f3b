"""Named sets of pairs: the folder layouts in which people have them.

In the medical task MRI takes the visible place and CT, PET or SPECT the infrared one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fsidfusion.errors import InputError
from fsidfusion.images.camera_names import pair_shots
from fsidfusion.images.pairs import (
    Pair,
    Place,
    Task,
    is_picture,
    match_pairs,
    named_pair,
    side_of,
    without_side,
)

Split = Literal["train", "test"]

_INFRARED = ("ir", "infrared", "inf", "thermal", "lwir", "test_ir", "train_ir", "cropinfrared")
_VISIBLE = ("vi", "vis", "visible", "rgb", "test_vi", "train_vi", "crop_lr_visible")
_MRI = ("mri", "mr", "mr-t1", "mr-t2")
_FUNCTIONAL = ("ct", "pet", "spect")
_SPLITS: tuple[Split, ...] = ("train", "test")
_LABEL_FOLDERS = ("segmentation_labels", "labels", "label")


@dataclass(frozen=True)
class PairSet:
    """A named set of pairs, in the order of their names."""

    name: str
    pairs: tuple[Pair, ...]
    task: Task
    split: Split | None = None  # where its folders say so
    alone: tuple[Path, ...] = ()  # files without a partner
    nearest: dict[Path, Path] = field(default_factory=dict)  # to them, by name


def sides_of(files: Iterable[Path]) -> tuple[Path, Path, Task]:
    """Tell by the names of folders which of them is the infrared side and which the visible one.

    Args:
        files: relative, such as ``set/ir/1.png``; they need not exist.

    Returns:
        both folders, and the task.

    Raises:
        InputError: no two folders that belong together, or several.
    """
    kinds: tuple[tuple[tuple[str, ...], tuple[str, ...], Task], ...] = (
        (_INFRARED, _VISIBLE, "thermal"),
        (_FUNCTIONAL, _MRI, "medical"),
    )
    folders = sorted({path.parent for path in files})
    found = [
        (first, second, task)
        for firsts, seconds, task in kinds
        for first in folders
        for second in folders
        if first.parent == second.parent and first.name.lower() in firsts and second.name.lower() in seconds
    ]
    if len(found) != 1:
        raise InputError(
            f"{'several sets' if found else 'no set'} of two folders is there; expected one of ir and vi,"
            " or MRI and CT, PET or SPECT"
        )
    return found[0]


def open_set(folder: str | Path, split: Split | None = None) -> PairSet:
    """Open one set, in the layouts in which people have them.

    - MSRS: ``train`` and ``test``, each with ``ir``, ``vi`` and ``Segmentation_labels``;
    - RoadScene: ``cropinfrared`` and ``crop_LR_visible``;
    - TNO: ``ir`` and ``vi``; ``IR1.png`` and ``VIS1.png`` in one folder or in two; or as published, a folder
      for each scene with one file for each band (``IR_lake_g.bmp``, ``VIS_lake_r.bmp``; NIR is not used);
    - the Harvard sets: ``MRI`` and ``CT``, ``PET`` or ``SPECT``;
    - LLVIP: ``infrared`` and ``visible``, each with ``train`` and ``test``.

    Args:
        folder: holds the two modality folders, or ``train`` and ``test`` that hold them.
        split: which of the two, where the set has them.

    Raises:
        InputError: no such folder, no or several layouts in it, or no pairs.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; expected a set of pairs such as one that holds ir and vi")
    sets = _sets_in(root / split if split and (root / split).is_dir() else root)
    sets = [found for found in sets if split in (None, found.split)] if len(sets) > 1 else sets
    sets = sets or _scenes_in(root) or _shots_in(root)
    if len(sets) != 1:
        found = "several sets" if sets else "no set"
        splits = [name for name in _SPLITS if _sets_in(root / name)] or [s.split for s in sets if s.split]
        hint = (
            f"choose its split: {' or '.join(splits)}"
            if splits
            else "expected ir and vi, or MRI and CT/PET/SPECT"
        )
        raise InputError(f"{root} holds {found}; {hint}")
    return sets[0]


def find_sets(root: str | Path) -> list[PairSet]:
    """All sets in a folder and up to two levels below it, by name; [] where there is none.

    For the layouts see :func:`open_set`. A set in a folder ``train`` or ``test`` is named with the folder
    above it (``MSRS/train``).
    """
    root = Path(root)
    if not root.is_dir():
        return []
    folders = [root, *(p for depth in ("*", "*/*") for p in sorted(root.glob(depth)) if p.is_dir())]
    holding = {folder: _sets_in(folder) for folder in folders}
    sets = [found for folder in folders for found in holding[folder]]
    if not sets:
        sets = _scenes_in(root)
    elif not holding[root]:  # a child without modality folders may hold scenes in folders of their own
        taken = {place for folder in folders if holding[folder] for place in (folder, *folder.parents)}
        children = [folder for folder in folders[1:] if folder.parent == root and folder not in taken]
        sets += [found for child in children for found in _scenes_in(child)]
    double = [name for name, number in Counter(found.name for found in sets).items() if number > 1]
    return [_renamed(found) if found.name in double else found for found in sets]


def _sets_in(folder: Path) -> list[PairSet]:
    """The sets whose modality folders lie in a folder."""
    if not folder.is_dir():
        return []
    inside = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    infrared = next((name for name in _INFRARED if name in inside), None)
    visible = next((name for name in _VISIBLE if name in inside), None)
    mri = next((name for name in _MRI if name in inside), None)
    layouts: list[tuple[str, str, Task]] = []
    if infrared and visible:
        layouts.append((infrared, visible, "thermal"))
    layouts += [(name, mri, "medical") for name in _FUNCTIONAL if mri and name in inside]
    labels = next((inside[name] for name in _LABEL_FOLDERS if name in inside), None)
    by_stem = {p.stem: p for p in labels.iterdir()} if labels else {}
    sets = []
    for first, second, task in layouts:
        name = _name(folder) if len(layouts) == 1 else f"{_name(folder)}/{first}-{second}"
        sides = inside[first], inside[second]
        splits = [split for split in _SPLITS if all((side / split).is_dir() for side in sides)]
        for split in splits:
            found = match_pairs([sides[0] / split], [sides[1] / split])
            sets.append(PairSet(f"{name}/{split}", found.pairs, task, split, found.alone, found.nearest))
        if not splits:
            found = match_pairs([sides[0]], [sides[1]])
            pairs = tuple(Pair(p.name, p.infrared, p.visible, by_stem.get(p.name)) for p in found.pairs)
            sets.append(PairSet(name, pairs, task, _split(folder), found.alone, found.nearest))
    return sets


def _scenes_in(root: Path) -> list[PairSet]:
    """The set whose files lie side by side, told apart by a word in their names; in one folder or in many."""
    files: dict[Path, dict[Place, list[Path]]] = {}
    for path in sorted(path for depth in ("*", "*/*", "*/*/*", "*/*/*/*") for path in root.glob(depth)):
        side = side_of(path.stem)
        if side and is_picture(path.relative_to(root)) and path.is_file():
            files.setdefault(path.parent, {"infrared": [], "visible": []})[side].append(path)
    pairs = []
    for folder, sides in files.items():
        place = folder.relative_to(root)
        if len(sides["infrared"]) == len(sides["visible"]) == 1 and folder != root:
            pairs.append(Pair(place.as_posix(), sides["infrared"][0], sides["visible"][0]))
            continue
        visible = {without_side(path.stem): path for path in sides["visible"]}
        for path in sides["infrared"]:
            name = without_side(path.stem)
            if name in visible:
                pairs.append(named_pair((place / (name or folder.name)).as_posix(), path, visible[name]))
    return [PairSet(_name(root), tuple(pairs), "thermal", _split(root))] if pairs else []


def _shots_in(root: Path) -> list[PairSet]:
    """The set of a folder as a thermal camera fills it, told by the names that it gives."""
    files = sorted(path for path in root.iterdir() if is_picture(path.relative_to(root)) and path.is_file())
    if not pair_shots(files, files):
        return []
    found = match_pairs([root], [root])
    return [PairSet(_name(root), found.pairs, "thermal", _split(root), found.alone, found.nearest)]


def _name(folder: Path) -> str:
    whole = folder.resolve()
    return f"{whole.parent.name}/{whole.name}" if whole.name in _SPLITS else whole.name


def _split(folder: Path) -> Split | None:
    whole = folder.resolve()
    return next((split for split in _SPLITS if split in (whole.name, whole.parent.name)), None)


def _renamed(found: PairSet) -> PairSet:
    """With the folder above in front of its name, since another set has the same."""
    above = found.pairs[0].visible.resolve().parents[2].name
    return replace(found, name=f"{above}/{found.name}")
