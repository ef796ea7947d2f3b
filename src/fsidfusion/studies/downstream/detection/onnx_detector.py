"""Detectors that people have as ONNX files, of the output forms of YOLO and NanoDet; none is shipped.

A detector that never saw a fused or an infrared picture is a witness of its own: what it finds, a camera's
user would find.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError, ModelError
from fsidfusion.evaluation.boxes import Boxes, suppress
from fsidfusion.images.pixels import Pixels, quantise, unit
from fsidfusion.runtime.libraries import import_onnxruntime

LEAST_SCORE = 0.01
CLASH = 0.5  # intersection over union of two boxes of one class, of which one goes
_SIDE = 416  # of the input, where the file leaves it open
_GRAY = 114  # what YOLOX is trained to see around a picture
_MEAN = np.array((103.53, 116.28, 123.675), np.float32)  # NanoDet's, BGR
_DEVIATION = np.array((57.375, 57.12, 58.395), np.float32)
_STRIDES = ((8, 16, 32), (8, 16, 32, 64))  # of the grids of cells
COCO = (  # noqa: SIM905 (the classes, in the order in which detectors give them)
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,"
    "handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,"
    "skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,"
    "sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,"
    "dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")


class OnnxDetector:
    """A detector from an ONNX file: one image in, one table of boxes out.

    YOLOX: rows of x, y, w, h, objectness and the classes' scores; decoded, or in strides of the grid (Ge et
    al., "YOLOX: Exceeding YOLO series in 2021"). YOLOv5: the same rows, decoded, three a cell. YOLOv8 and 11:
    columns of x, y, w, h and the classes' scores. NanoDet: rows of the classes' scores and, for each side of
    the box, a distribution over distances (Li et al., "Generalized focal loss", 2020), from the centre of a
    cell where there are three grids, from its corner where there are four (NanoDet-Plus).
    """

    def __init__(self, path: Path, classes: Sequence[str] = ()) -> None:
        """Open the file; ``classes`` are those of COCO by default.

        Raises:
            MissingDependency: onnxruntime is not installed.
            ModelError: no ONNX file, or one of another form.
        """
        onnxruntime = import_onnxruntime("a detector from an ONNX file")
        self.classes = tuple(classes or COCO)
        self.path = path
        if not path.is_file():
            raise InputError(f"there is no file {path}; give an ONNX file of a detector")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever its reader raises, the file is what is wrong
            reason = " ".join(str(error).split())[:160]
            raise ModelError(f"{path} is no ONNX file that can be run ({reason})") from error
        (given, *more) = self._session.get_inputs()
        if more or len(given.shape) != 4 or given.shape[1] not in (3, "3"):
            raise ModelError(f"{path} does not take one picture of three channels (1, 3, H, W)")
        self._input = given.name
        height, width = (side if isinstance(side, int) else _SIDE for side in given.shape[2:])
        self._size = (height, width)
        rows, columns = self._run(np.full((height, width, 3), _GRAY, np.uint8), "yolox").shape
        self.form, self._strides = self._find_form(rows, columns)

    def find(self, picture: Pixels, wanted: Sequence[str] = ()) -> Boxes:
        """Boxes in a picture (H, W) or (H, W, 3) RGB, looked at whole and in its left and right half.

        Of the classes that are ``wanted`` alone, where any are named.
        """
        rgb = picture if picture.dtype == np.uint8 else quantise(unit(picture), np.dtype(np.uint8))
        if rgb.ndim == 2:
            rgb = np.repeat(rgb[..., None], 3, axis=2)
        width = rgb.shape[1]
        views = [(0, width), (0, width // 2), (width // 2, width)] if width >= 4 else [(0, width)]
        found = [self._look(np.ascontiguousarray(rgb[:, left:right]), left) for left, right in views]
        corners = np.concatenate([boxes.corners for boxes in found])
        classes = np.concatenate([boxes.classes for boxes in found])
        scores = np.concatenate([boxes.scores for boxes in found])
        every = Boxes(corners, classes, scores)
        if wanted:
            every = every[np.isin(classes, [self.classes.index(n) for n in wanted if n in self.classes])]
        return suppress(every, CLASH)

    def _look(self, rgb: Pixels, left: int) -> Boxes:
        height, width = rgb.shape[:2]
        scale = min(self._size[0] / height, self._size[1] / width)
        small = cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))))
        framed = np.full((*self._size, 3), _GRAY if self.form == "yolox" else 0, np.uint8)
        framed[: small.shape[0], : small.shape[1]] = small
        corners, scores = self._decode(self._run(framed, self.form))
        best = scores.argmax(1)
        likely = scores[np.arange(len(scores)), best]
        kept = likely >= LEAST_SCORE
        corners = np.clip(corners[kept] / scale, 0, (width, height, width, height))
        corners[:, [0, 2]] += left
        return Boxes(corners.astype(np.float32), best[kept].astype(np.int64), likely[kept].astype(np.float32))

    def _run(self, rgb: Pixels, form: str) -> NDArray[np.float32]:
        image = rgb[..., ::-1].astype(np.float32)
        if form == "nanodet":
            image = (image - _MEAN) / _DEVIATION
        elif form in ("yolov5", "yolov8"):
            image = image[..., ::-1] / np.float32(255)
        result = self._session.run(None, {self._input: np.ascontiguousarray(image.transpose(2, 0, 1))[None]})
        table = np.asarray(result[0])
        if len(result) != 1 or table.ndim != 3 or table.shape[0] != 1:
            shapes = ", ".join(str(np.shape(part)) for part in result)
            raise ModelError(f"{self.path} gives {shapes}, expected one table (1, boxes, columns)")
        return (table[0].T if form == "yolov8" else table[0]).astype(np.float32)

    def _find_form(self, rows: int, columns: int) -> tuple[str, tuple[int, ...]]:
        number = len(self.classes)
        cells = {strides: len(self._cells(strides)) for strides in _STRIDES}
        for strides, count in cells.items():
            if columns == number + 5 and rows in (count, 3 * count):
                return "yolox" if rows == count else "yolov5", strides
            if columns == count and rows == number + 4:
                return "yolov8", strides
            if rows == count and columns > number and (columns - number) % 4 == 0:
                return "nanodet", strides
        if rows in cells.values():
            raise ModelError(
                f"{self.path} gives {columns} columns a box, expected {number} + 5 (YOLO) or {number} + 4 n"
                f" (NanoDet) for {number} classes; name its classes"
            )
        raise ModelError(f"{self.path} gives {rows} boxes, which fit no grid of {self._size} pixels")

    def _decode(self, table: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Corners (N, 4) in pixels of the input, and scores (N, classes)."""
        number = len(self.classes)
        if self.form in ("yolov5", "yolov8"):
            corners = _corners(*table[:, :4].T)
            return corners, table[:, 4:] if self.form == "yolov8" else table[:, 4:5] * table[:, 5:]
        x, y, stride = self._cells(self._strides).T
        if self.form == "nanodet":
            bins = table[:, number:].reshape(len(table), 4, -1)
            weights = np.exp(bins - bins.max(2, keepdims=True))
            weights /= weights.sum(2, keepdims=True)
            left, top, right, bottom = ((weights * np.arange(bins.shape[2])).sum(2) * stride[:, None]).T
            inside = 0.0 if len(self._strides) == 4 else 0.5
            x, y = (x + inside) * stride, (y + inside) * stride
            return np.stack((x - left, y - top, x + right, y + bottom), 1), table[:, :number]
        centre_x, centre_y, width, height = table[:, :4].T
        if table[:, 2:4].min() <= 0 or table[:, :2].max() < 0.1 * max(self._size):  # not decoded yet
            centre_x, centre_y = (centre_x + x) * stride, (centre_y + y) * stride
            width, height = (
                np.exp(np.clip(width, -20, 20)) * stride,
                np.exp(np.clip(height, -20, 20)) * stride,
            )
        return _corners(centre_x, centre_y, width, height), table[:, 4:5] * table[:, 5:]

    def _cells(self, strides: Sequence[int]) -> NDArray[np.float32]:
        """Column, row and stride of every cell, (N, 3)."""
        height, width = self._size
        grids = [(s, y, x) for s in strides for y in range(-(-height // s)) for x in range(-(-width // s))]
        return np.array(grids, np.float32)[:, ::-1]


def map_classes(found: Boxes, theirs: Sequence[str], ours: Sequence[str]) -> Boxes:
    """Boxes in the classes of the labels, by name; those of other classes are left out."""
    place = np.array([ours.index(name) if name in ours else -1 for name in theirs])
    kept = place[found.classes] >= 0
    return Boxes(found.corners[kept], place[found.classes[kept]], found.scores[kept])


def _corners(
    x: NDArray[np.float32], y: NDArray[np.float32], width: NDArray[np.float32], height: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, 4) from centres and sizes."""
    return np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), 1)
