"""Infrared/visible pairs rendered from one scene description, with true boxes, masks and labels.

    scene = render_scene(7, time_of_day="night")
    scene.infrared, scene.visible, scene.labels, scene.objects

The same seed gives the same scene at every size of the same shape. Drawing uses NumPy generators and OpenCV
rasterising only, so a scene is the same in every run and process; another processor or version of the two may
round some pixels to the next grey level.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.studies.scenes.cameras import take_pictures
from fsidfusion.studies.scenes.canvas import Canvas
from fsidfusion.studies.scenes.places import PLACES, compose
from fsidfusion.studies.scenes.weather import TIMES

CLASSES = ("unlabelled", "car", "person", "bike", "curve", "car stop", "guardrail", "colour cone", "bump")
SMALLEST = (96, 128)


@dataclass(frozen=True)
class SceneObject:
    """A person, bicycle or car as far as it is seen."""

    category: str
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 exclusive, tight around the mask
    mask: NDArray[np.bool_]  # (H, W)
    visibility: float  # share of its pixels in the frame that nothing else hides, 0..1


@dataclass(frozen=True)
class Scene:
    """A rendered pair and its ground truth."""

    infrared: NDArray[np.uint8]  # (H, W), hot is white
    visible: NDArray[np.uint8]  # (H, W, 3) RGB
    labels: NDArray[np.uint8]  # (H, W), index into CLASSES (those of MSRS)
    objects: tuple[SceneObject, ...]
    place: str
    time_of_day: str
    smoke: bool


def render_scene(
    seed: int,
    size: tuple[int, int] = (480, 640),
    time_of_day: str | None = None,
    smoke: bool | None = None,
    place: str | None = None,
) -> Scene:
    """Draw a scene of `size` (height, width) from its seed; what is None is drawn by lot."""
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        raise InputError(
            f"a scene of {size[0]}x{size[1]} is too small: give at least {SMALLEST[0]}x{SMALLEST[1]}"
        )
    for given, known, what in ((time_of_day, TIMES, "time of day"), (place, PLACES, "place")):
        if given is not None and given not in known:
            raise InputError(f"unknown {what} {given!r}: give one of {', '.join(known)}")
    layout = compose(seed, size, time_of_day, smoke, place)
    canvas = layout.paint()
    infrared, visible = take_pictures(canvas, np.random.default_rng((seed, 2)), layout.plumes)
    objects = _objects(canvas)
    return Scene(
        infrared,
        visible,
        canvas.label,
        objects,
        layout.place,
        layout.setting.time_of_day,
        bool(layout.plumes),
    )


def _objects(canvas: Canvas) -> tuple[SceneObject, ...]:
    """The objects of which enough is seen; the others are wiped from the label map."""
    height, width = canvas.camera.size
    fewest = max(12, height * width // 6000)
    objects = []
    for number, (category, claimed) in enumerate(zip(canvas.categories, canvas.claimed), start=1):
        mask = canvas.instance == number
        seen = int(mask.sum())
        if seen == 0:
            continue
        if seen < fewest or seen < 0.2 * claimed:
            canvas.label[mask] = 0
            continue
        x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
        objects.append(SceneObject(category, (x, y, x + w, y + h), mask, seen / max(claimed, 1)))
    return tuple(objects)
