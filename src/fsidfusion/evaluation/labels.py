"""Boxes from label files, YOLO text (as MSRS has it) and COCO JSON; faults are named by file and line."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fsidfusion.errors import InputError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.images.budget import MAX_LINES
from fsidfusion.images.text import as_model, read_json, read_text, read_yaml

SLACK = 1.0  # pixels by which a box may leave the frame: labels are rounded; it is cut at the edge

Size = tuple[int, int]  # height, width of a frame in pixels


@dataclass(frozen=True)
class BadLabel:
    """One thing that is wrong in a label file."""

    place: str  # "labels/00004N.txt:3"
    what: str  # "class 7 is out of range 0..2"

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True)
class Labels:
    """The boxes of frames by name, and what was left out of them."""

    classes: tuple[str, ...]
    boxes: Mapping[str, Boxes]  # frames without any label are not in it
    bad: tuple[BadLabel, ...]
    ids: Mapping[Any, str]  # COCO: the id of an image -> its frame
    categories: Mapping[Any, int]  # COCO: the id of a category -> its class


def read_labels(place: Path, sizes: Mapping[str, Size], classes: Sequence[str] = ()) -> Labels:
    """Read the boxes of frames.

    Args:
        place: a folder with one YOLO text file for each frame (``class x y w h`` a line, centre and size as
            shares of the frame; an empty file: no object), or a COCO JSON file.
        sizes: name -> size of the frames that are asked for.
        classes: names; by default those of ``classes.txt`` or ``data.yaml`` in the folder or above it, or
            of the JSON file.

    Returns:
        the boxes of all that is sound; a bad line or annotation is left out and listed, as is a frame without
        a label file.

    Raises:
        InputError: nothing there, no class names, or a JSON file that is none of COCO's.
    """
    if place.is_dir():
        return _read_yolo(place, sizes, tuple(classes) or _class_names(place))
    if place.suffix.lower() == ".json" and place.is_file():
        return _read_coco(place, sizes, classes)
    raise InputError(f"{place} holds no labels; give a folder of YOLO text files or a COCO JSON file")


def _check_box(corners: Sequence[float], size: Size) -> str:
    """What is wrong with a box in a frame of a size, or ""."""
    x0, y0, x1, y1 = corners
    height, width = size
    if not all(map(math.isfinite, corners)):
        return "the box is not finite"
    if x1 <= x0 or y1 <= y0:
        return f"the box is empty ({x1 - x0:.1f}x{y1 - y0:.1f} pixels)"
    if x0 < -SLACK or y0 < -SLACK or x1 > width + SLACK or y1 > height + SLACK:
        return f"the box {x0:.1f}, {y0:.1f} to {x1:.1f}, {y1:.1f} leaves the frame of {width}x{height}"
    return ""


def _read_yolo(folder: Path, sizes: Mapping[str, Size], classes: tuple[str, ...]) -> Labels:
    boxes: dict[str, Boxes] = {}
    bad: list[BadLabel] = []
    for name, size in sizes.items():
        path = folder / f"{name}.txt"
        try:
            lines = read_text(path, "label file", MAX_LINES).splitlines() if path.exists() else None
        except InputError as error:
            bad.append(BadLabel(str(path), str(error)))
            continue
        if lines is None:
            bad.append(BadLabel(str(path), f"there is no label file for frame {name}"))
            continue
        found: list[tuple[int, list[float]]] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            label = _yolo_line(line, size, len(classes))
            if isinstance(label, str):
                bad.append(BadLabel(f"{path}:{number}", label))
            else:
                found.append(label)
        boxes[name] = _cut(found, size)
    return Labels(classes, boxes, tuple(bad), {}, {})


def _yolo_line(line: str, size: Size, classes: int) -> tuple[int, list[float]] | str:
    """Class and corners, or what is wrong with them."""
    words = line.split()
    try:
        number, x, y, w, h = map(float, words)
    except ValueError:
        return f"expected 'class x y w h', found {line.strip()[:60]!r}"
    if not number.is_integer():
        return f"class {words[0][:60]!r} is not a whole number"
    if not 0 <= number < classes:
        return f"class {words[0][:60]} is out of range 0..{classes - 1}"
    height, width = size
    corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
    return _check_box(corners, size) or (int(number), corners)


def _class_names(folder: Path) -> tuple[str, ...]:
    """From classes.txt ("person" or "0 person" a line) or the names of data.yaml."""
    for place in (folder, folder.parent, folder.parent.parent):
        listing, description = place / "classes.txt", place / "data.yaml"
        if listing.is_file():
            lines = [
                line.split()
                for line in read_text(listing, "list of classes", MAX_LINES).splitlines()
                if line.strip()
            ]
            numbered = all(words[0] == str(place) and len(words) > 1 for place, words in enumerate(lines))
            return tuple(" ".join(words[1:] if numbered else words) for words in lines)
        if description.is_file():
            names = as_model(read_yaml(description), _Named, f"{description} (or give `classes`)").names
            ordered = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
            return tuple(map(str, ordered))
    raise InputError(f"no classes.txt or data.yaml names the classes of {folder}; give `classes`")


class _Named(msgspec.Struct):
    """data.yaml of a YOLO set, as far as it is needed."""

    names: list[str | int] | dict[int, str | int]


class _Image(msgspec.Struct):
    id: int | str
    file_name: str


class _Category(msgspec.Struct):
    id: int | str
    name: str | int


class _Annotation(msgspec.Struct):
    image_id: int | str | None = None
    category_id: int | str | None = None
    bbox: Any = None
    iscrowd: bool | int | None = None
    id: int | str | None = None


class _Coco(msgspec.Struct):
    """A COCO file, as far as it is needed."""

    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Annotation]


def _read_coco(path: Path, sizes: Mapping[str, Size], wanted: Sequence[str]) -> Labels:
    content = read_json(path, _Coco, "COCO file of images, categories and annotations")
    images: dict[int | str | None, str] = {image.id: Path(image.file_name).stem for image in content.images}
    named = {entry.id: str(entry.name) for entry in content.categories}
    annotations = content.annotations
    classes = tuple(wanted) or tuple(named[key] for key in sorted(named, key=str))
    categories = {key: classes.index(name) for key, name in named.items() if name in classes}
    found: dict[str, list[tuple[int, list[float]]]] = {name: [] for name in images.values() if name in sizes}
    bad = [BadLabel(str(path), f"there is no image of frame {name}") for name in sizes if name not in found]
    for place, annotation in enumerate(annotations):
        name = images.get(annotation.image_id, "")
        if annotation.iscrowd or (name and name not in sizes):
            continue
        label = _coco_box(annotation, name, sizes, named, categories)
        if isinstance(label, str):
            bad.append(
                BadLabel(f"{path}, annotation {place if annotation.id is None else annotation.id}", label)
            )
        elif label:
            found[name].append(label)
    boxes = {name: _cut(labels, sizes[name]) for name, labels in found.items()}
    return Labels(classes, boxes, tuple(bad), images, categories)


def _coco_box(
    annotation: "_Annotation",
    name: str,
    sizes: Mapping[str, Size],
    named: Mapping[Any, str],
    categories: Mapping[Any, int],
) -> tuple[int, list[float]] | str | None:
    """Class and corners, what is wrong with them, or None for a class that was not asked for."""
    category = annotation.category_id
    if not name:
        return f"image_id {str(annotation.image_id)[:60]!r} is none of the images"
    if category not in named:
        return f"category_id {str(category)[:60]!r} is none of the categories"
    if category not in categories:
        return None
    try:
        x, y, w, h = map(float, annotation.bbox)
    except (TypeError, ValueError, OverflowError):
        return f"expected bbox [x, y, w, h], found {str(annotation.bbox)[:60]!r}"
    corners = [x, y, x + w, y + h]
    return _check_box(corners, sizes[name]) or (categories[category], corners)


def _cut(labels: Sequence[tuple[int, list[float]]], size: Size) -> Boxes:
    """Labels as boxes, cut at the edges of the frame."""
    height, width = size
    corners = [
        (max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)) for _, (x0, y0, x1, y1) in labels
    ]
    return Boxes.true(corners, [number for number, _ in labels])
