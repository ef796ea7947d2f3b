"""Labelled frames on disk: where pairs and labels lie, and which frames are trained and which tested on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsidfusion.errors import InputError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.evaluation.labels import BadLabel, Labels, Size, read_labels
from fsidfusion.images.files import read_header
from fsidfusion.images.pairs import Pair, match_pairs
from fsidfusion.images.sets import open_set
from fsidfusion.studies.downstream.inputs import pairs_hash

OnBad = Literal["refuse", "skip"]
Part = Literal["test", "validation"]

EVERY, TEST_SHARE = 9, 80 / 361  # of the fixed split of one folder: 80 of MSRS's 361 frames
VALIDATION_EVERY = 5  # of the training frames
_TESTS = ("test", "val", "valid")
_MODALITIES = (("ir", "vi"), ("ir", "vis"), ("infrared", "visible"))
_JSON = ("annotations/{0}.json", "annotations/instances_{0}.json", "{0}.json", "{0}/annotations.json")


@dataclass(frozen=True)
class LabelledFrames:
    """Pairs of one kind of scene with the true boxes of each."""

    classes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    sizes: tuple[Size, ...]
    boxes: tuple[Boxes, ...]
    labels: tuple[Labels, ...]  # what they were read from

    def __len__(self) -> int:
        return len(self.pairs)

    def only(self, wanted: Callable[[str], bool]) -> "LabelledFrames":
        """The frames whose names are wanted."""
        places = [place for place, pair in enumerate(self.pairs) if wanted(pair.name)]
        return LabelledFrames(
            self.classes,
            tuple(self.pairs[place] for place in places),
            tuple(self.sizes[place] for place in places),
            tuple(self.boxes[place] for place in places),
            self.labels,
        )

    @property
    def identity(self) -> str:
        """One sha256 of the pictures, the boxes and the names of the classes."""
        digest = hashlib.sha256(f"{self.classes} {pairs_hash(self.pairs)}".encode())
        for boxes in self.boxes:
            digest.update(boxes.classes.tobytes() + boxes.corners.round(2).tobytes() + b";")
        return digest.hexdigest()


@dataclass(frozen=True)
class DetectionSet:
    """Frames to learn from and frames to be tested on, which share no name."""

    train: LabelledFrames
    test: LabelledFrames
    split: str  # how they were told apart, in words
    bad: tuple[BadLabel, ...]  # that were skipped


def open_detection_set(
    root: str | Path,
    part: Part = "test",
    labels: str | Path | None = None,
    classes: Sequence[str] = (),
    bad_labels: OnBad = "refuse",
) -> DetectionSet:
    """Open a folder of labelled pairs.

    Layouts: ``{train,test}/{ir,vi}`` or ``{ir,vi}/{train,test}`` (``vis``, ``infrared`` and ``visible``,
    ``val`` for ``test`` are understood, too), or ``ir`` and ``vi`` alone, which :func:`fixed_split` divides.
    Labels: YOLO text in ``labels`` beside the modalities, or COCO JSON in ``annotations.json`` or
    ``annotations/{train,test}.json``.

    Args:
        root: the folder.
        part: what ``test`` of the result is; ``validation`` is every fifth of the training frames, which
            then are not trained on; no test frame is scored then.
        labels: where the labels lie, if elsewhere: a folder (with the same sub-folders) or a JSON file.
        classes: names of the classes, if no file tells them.
        bad_labels: ``refuse`` raises for the first bad label; ``skip`` leaves bad boxes and frames without
            labels out.

    Raises:
        InputError: no such layout, no labels, bad labels that are refused, one name on both sides.
    """
    root = Path(root)
    place = None if labels is None else Path(labels)
    splits = _split_folders(root)
    if splits:
        names = ("train", next(name for name in _TESTS if name in splits))
        sides = [_read(root, splits[name], name, place, classes) for name in names]
        train, test = sides
        split = f"the folders {names[0]} and {names[1]}"
        if train.classes != test.classes:
            raise InputError(f"{root}: {names[0]} and {names[1]} name different classes; give `classes`")
        shared = {pair.name for pair in train.pairs} & {pair.name for pair in test.pairs}
        if shared:
            raise InputError(
                f"{root}: {min(shared)} is in {names[0]} and in {names[1]}; rename or remove one"
            )
    else:
        whole = _read(root, open_set(root).pairs, "", place, classes)
        chosen = fixed_split([pair.name for pair in whole.pairs])
        train, test = whole.only(lambda name: name not in chosen), whole.only(chosen.__contains__)
        split = f"by name: every {EVERY}th frame and the last, {len(test)} in all, are the test"
    bad = tuple(dict.fromkeys(bad for side in (train, test) for found in side.labels for bad in found.bad))
    if bad and bad_labels == "refuse":
        more = f" ({len(bad)} bad labels in all)" if len(bad) > 1 else ""
        raise InputError(f"{bad[0]}{more}; correct it, or leave it out with `bad_labels` skip")
    if part == "validation":
        held = {pair.name for pair in train.pairs[::VALIDATION_EVERY]}
        train, test = train.only(lambda name: name not in held), train.only(held.__contains__)
        split += (
            f"; here every {VALIDATION_EVERY}th training frame is held out instead, and no test frame seen"
        )
    if not len(train) or not len(test):
        raise InputError(
            f"{root}: {len(train)} frames to train on, {len(test)} to test on; expected some of each"
        )
    return DetectionSet(train, test, split, bad)


def fixed_split(names: Sequence[str]) -> frozenset[str]:
    """The test frames of one folder, by name: every 9th from the first, then filled up from the end.

    In all 80 of 361, the published MSRS test frames with boxes, and in that proportion of other numbers.
    """
    ordered = sorted(names)
    chosen = set(ordered[::EVERY])
    number = max(len(chosen), round(TEST_SHARE * len(ordered)))
    chosen.update([name for name in reversed(ordered) if name not in chosen][: number - len(chosen)])
    return frozenset(chosen)


def _split_folders(root: Path) -> dict[str, tuple[Pair, ...]]:
    """The pairs of each split; {} where there are no splits."""
    splits = {}
    for name in ("train", *_TESTS):
        if (root / name).is_dir():
            splits[name] = open_set(root / name).pairs
            continue
        for infrared, visible in _MODALITIES:
            folders = [root / modality / name for modality in (infrared, visible)]
            if all(folder.is_dir() for folder in folders):
                splits[name] = match_pairs([folders[0]], [folders[1]]).pairs
    return splits if "train" in splits and len(splits) > 1 else {}


def _read(
    root: Path, pairs: Sequence[Pair], split: str, given: Path | None, classes: Sequence[str]
) -> LabelledFrames:
    place = _labels_place(root, split, given)
    headers = {pair.name: read_header(pair.visible) for pair in pairs}
    sizes = {name: (header.height, header.width) for name, header in headers.items()}
    labels = read_labels(place, sizes, classes)
    kept = tuple(pair for pair in pairs if pair.name in labels.boxes)
    return LabelledFrames(
        labels.classes,
        kept,
        tuple(sizes[pair.name] for pair in kept),
        tuple(labels.boxes[pair.name] for pair in kept),
        (labels,),
    )


def _labels_place(root: Path, split: str, given: Path | None) -> Path:
    """The folder or the JSON file of the labels of a split."""
    if given is not None:
        return given / split if given.is_dir() and split and (given / split).is_dir() else given
    folders = [root / split / "labels", root / "labels" / split, root / "labels"]
    listings = [root / pattern.format(split) for pattern in _JSON] if split else []
    places = [*folders, *listings, root / "annotations.json", root / "labels.json"]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise InputError(f"{root} has no labels: expected labels/*.txt or annotations.json, or give `labels`")
    return found
