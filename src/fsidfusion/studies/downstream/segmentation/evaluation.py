"""Predictions for a labelled set, in files and as confusion matrices."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.downstream.inputs import Frame
from fsidfusion.studies.downstream.segmentation.classes import IGNORED, Classes, Mask
from fsidfusion.studies.downstream.segmentation.masks import LabelledSet, condition, read_indices
from fsidfusion.studies.downstream.segmentation.network import Segmenter
from fsidfusion.studies.downstream.segmentation.scores import Confusion, confusion_matrix, score
from fsidfusion.studies.downstream.segmentation.training import predict

ALL = "all"
CONDITIONS = (ALL, "day", "night", "smoke")


def predict_set(
    network: Segmenter,
    frames: Sequence[Frame],
    labelled: LabelledSet,
    classes: Classes,
    folder: Path,
    on_frame: Callable[[], None] = lambda: None,
) -> list[Mask]:
    """Predict every frame, and write NAME.png with the values of mask files into a folder.

    Args:
        network: the segmenter.
        frames: of the pairs of ``labelled``, in their order.
        labelled: gives the names.
        classes: of the network and of the files.
        folder: made when absent.
        on_frame: called after each.

    Returns:
        indices (H, W) for each frame.
    """
    predictions = []
    for pair, frame in zip(labelled.pairs, frames, strict=True):
        predictions.append(predict(network, frame))
        write_picture(folder / f"{pair.name}.png", Picture(classes.file_values(predictions[-1])))
        on_frame()
    return predictions


def read_predictions(folder: Path, labelled: LabelledSet, classes: Classes) -> list[Mask]:
    """The label maps NAME.png of any segmenter, in the values of mask files, as indices.

    Raises:
        InputError: one is missing, of another size, or holds a value that is no class or ignored.
    """
    predictions = []
    for pair, mask in zip(labelled.pairs, labelled.masks):
        path = folder / f"{pair.name}.png"
        indices = read_indices(path, mask.shape, classes)
        if (indices == IGNORED).any():
            raise InputError(f"{path} predicts an ignored value {classes.ignore}; every pixel needs a class")
        predictions.append(indices)
    return predictions


def confusion_by_condition(
    labelled: LabelledSet, predictions: Iterable[Mask], classes: Classes
) -> dict[str, Confusion]:
    """One confusion matrix of all pairs (``all``), and one for each condition that the names tell."""
    matrices: dict[str, Confusion] = {}
    for pair, mask, predicted in zip(labelled.pairs, labelled.masks, predictions, strict=True):
        matrix = confusion_matrix(mask, predicted, len(classes))
        for name in {ALL, condition(pair.name)} - {""}:
            matrices[name] = matrices.get(name, np.zeros_like(matrix)) + matrix
    return {name: matrices[name] for name in CONDITIONS if name in matrices}


def frame_iou(mask: Mask, predicted: Mask, classes: Classes) -> float:
    """Mean IoU of one frame over the classes that are in its mask; NaN for a mask without any."""
    return score(confusion_matrix(mask, predicted, len(classes)), classes.names).mean["IoU"]


def worst_and_best(
    labelled: LabelledSet, predictions: Sequence[Mask], classes: Classes, number: int = 3
) -> list[int]:
    """The places of the frames with the lowest and the highest :func:`frame_iou`, ``number`` of each."""
    values = [frame_iou(mask, found, classes) for mask, found in zip(labelled.masks, predictions)]
    ranked = sorted((place for place, value in enumerate(values) if value == value), key=values.__getitem__)
    return list(dict.fromkeys([*ranked[:number], *ranked[-number:]]))
