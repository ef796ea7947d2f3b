"""Frames with their boxes: what was found, what was missed and what is not there."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.report.page import LONGEST_SIDE, Card, webp
from fsidfusion.studies.downstream.comparison import Run
from fsidfusion.studies.downstream.detection.frames import LabelledFrames
from fsidfusion.studies.downstream.detection.scores import (
    PREDICTIONS,
    count_hits,
    frame_score,
    read_predictions,
)
from fsidfusion.studies.downstream.inputs import INFRARED, VISIBLE, Frame, Frames, Input

FOUND, WRONG, MISSED = (64, 220, 120), (255, 80, 70), (255, 205, 60)  # RGB
LEGEND = "Boxes: green found, red not there, yellow missed."
_TEXT = cv2.FONT_HERSHEY_SIMPLEX


def draw_boxes(frame: Frame, true: Boxes, found: Boxes, threshold: float, classes: Sequence[str]) -> Frame:
    """A frame with boxes: green where a found one is right, red where it is not, yellow where one was missed.

    Args:
        frame: (H, W, C), of which the first three channels are shown.
        true: boxes that are there, in pixels of the frame.
        found: boxes that a detector found.
        threshold: boxes of a lower score are left out.
        classes: names of the classes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = np.array(frame[..., :3], order="C")
    hit, right = count_hits(true, found, threshold)
    for corners, number in zip(true.corners[~hit], true.classes[~hit]):
        _draw(picture, corners, classes[number], MISSED)
    for place in np.flatnonzero(found.scores >= threshold):
        label = f"{classes[found.classes[place]]} {found.scores[place]:.2f}"
        _draw(picture, found.corners[place], label, FOUND if right[place] else WRONG)
    return picture


def choose_frames(
    frames: LabelledFrames, found: Sequence[Boxes], threshold: float, number: int = 3
) -> dict[int, str]:
    """The frames with the worst and the best F1, of equals those with the most objects.

    Returns:
        place -> "worst F1 0.12" or "best F1 1.00", the worst first; frames without objects are left out.
    """
    rated = [
        (frame_score(true, boxes, threshold), place)
        for place, (true, boxes) in enumerate(zip(frames.boxes, found))
        if len(true)
    ]
    worst = sorted(rated, key=lambda item: (item[0], -len(frames.boxes[item[1]])))[:number]
    best = sorted(rated, key=lambda item: (-item[0], -len(frames.boxes[item[1]])))[:number]
    chosen = {place: f"worst F1 {value:.2f}" for value, place in worst}
    return chosen | {place: f"best F1 {value:.2f}" for value, place in best if place not in chosen}


def build_cards(
    test: LabelledFrames, runs: Sequence[Run], pictures: Mapping[Input, Frames], number: int = 3
) -> list[Card]:
    """The best and the worst frames of the first network, or else of the first input, under every input.

    Args:
        test: frames with true boxes.
        runs: finished; those of the first seed of each input are shown.
        pictures: the test frames of every input.
        number: of the best, and of the worst.
    """
    first = {run.input: run for run in reversed(runs)}
    judge = next((given for given in first if given.kind == "ours"), next(iter(first)))
    found = {given: read_predictions(run.folder / PREDICTIONS, test) for given, run in first.items()}
    order = (INFRARED, VISIBLE, judge.name)  # then the others
    shown = sorted(first, key=lambda given: (*order, given.name).index(given.name))
    cards = []
    for place, reason in choose_frames(test, found[judge], first[judge].scores["threshold"], number).items():
        drawn = {
            given.name: webp(
                draw_boxes(
                    pictures[given][place],
                    test.boxes[place],
                    found[given][place],
                    first[given].scores["threshold"],
                    test.classes,
                ),
                LONGEST_SIDE,
            )
            for given in shown
        }
        cards.append(Card(test.pairs[place].name, [reason], drawn))
    return cards


def _draw(picture: Frame, corners: np.ndarray, label: str, colour: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    scale = max(0.35, min(height, width) / 1300)
    x0, y0, x1, y1 = (round(float(value)) for value in corners)
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), colour, max(1, round(2 * scale)))
    (wide, high), _ = cv2.getTextSize(label, _TEXT, scale, 1)
    x, y = min(x0, width - wide), y0 - 2 if y0 > high + 3 else min(y1 + high + 2, height - 2)
    cv2.rectangle(picture, (x, y - high - 1), (x + wide, y + 2), (0, 0, 0), cv2.FILLED)
    cv2.putText(picture, label, (x, y), _TEXT, scale, colour, 1, cv2.LINE_AA)
