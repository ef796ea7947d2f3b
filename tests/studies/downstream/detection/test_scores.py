import json
import math
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.evaluation.labels import Labels
from fsidfusion.images.pairs import Pair
from fsidfusion.studies.downstream.detection.frames import LabelledFrames
from fsidfusion.studies.downstream.detection.pictures import FOUND, MISSED, WRONG, choose_frames, draw_boxes
from fsidfusion.studies.downstream.detection.scores import (
    count_hits,
    frame_score,
    read_predictions,
    score,
    write_predictions,
)

CLASSES = ("person", "car")


def labelled(boxes, names=("1D", "2D", "3N"), labels=()):
    pairs = tuple(Pair(name, Path(), Path()) for name in names)
    return LabelledFrames(CLASSES, pairs, ((100, 100),) * len(pairs), tuple(boxes), labels)


def found(*rows):
    corners, classes, scores = zip(*rows) if rows else ((), (), ())
    return Boxes(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(scores, np.float32),
    )


TRUE = [
    Boxes.true([(0, 0, 10, 10), (50, 50, 70, 70)], [0, 1]),
    Boxes.true((), ()),
    Boxes.true([(20, 20, 40, 60)], [0]),
]


def test_the_truth_scores_one():
    values = score(labelled(TRUE), TRUE).values
    for key in ("all/mAP50", "all/mAP75", "all/mAP50:95", "day/F1", "night/person/mAP50", "all/recall"):
        assert values[key] == pytest.approx(1)
    assert math.isnan(values["night/car/mAP50"])  # none is there by night


def test_scores_of_a_case_worked_by_hand():
    """Two of three objects are found, and between them one that is not there.

    Person: right at 0.9 (recall 1/2), wrong at 0.8, missed: precision 1 up to recall 0.5, in COCO's 101
    points 51/101. Car: found with an overlap of 0.6, so right at the thresholds 0.5, 0.55 and 0.6.
    """
    boxes = [
        found(((0, 0, 10, 10), 0, 0.9), ((80, 80, 90, 90), 0, 0.8), ((50, 50, 70, 62), 1, 0.7)),
        found(),
        found(),
    ]
    result = score(labelled(TRUE), boxes)
    values = result.values
    assert values["all/person/mAP50"] == pytest.approx(51 / 101)
    assert values["all/person/mAP50:95"] == pytest.approx(51 / 101)
    assert values["all/car/mAP50"] == pytest.approx(1)
    assert values["all/car/mAP75"] == 0
    assert values["all/car/mAP50:95"] == pytest.approx(0.3)
    assert values["all/mAP50"] == pytest.approx((51 / 101 + 1) / 2)
    assert values["all/precision"] == pytest.approx(2 / 3)  # at 0.7: two of three are right
    assert values["all/recall"] == pytest.approx(2 / 3)
    assert result.threshold == pytest.approx(0.7)
    assert values["night/mAP50"] == 0


def test_finding_nothing_scores_zero():
    values = score(labelled(TRUE), [found()] * 3).values
    assert values["all/mAP50"] == values["all/F1"] == values["all/recall"] == 0


def test_each_true_box_counts_once_and_only_for_its_class():
    double = found(((0, 0, 10, 10), 0, 0.9), ((0, 0, 10, 9), 0, 0.8), ((50, 50, 70, 70), 0, 0.7))
    hit, right = count_hits(TRUE[0], double, 0.5)
    assert hit.tolist() == [True, False] and right.tolist() == [True, False, False]
    assert frame_score(TRUE[0], double, 0.5) == pytest.approx(2 / 5)
    assert frame_score(TRUE[0], double, 0.85) == pytest.approx(2 / 3)
    assert frame_score(TRUE[1], found(), 0.5) == 1


def test_predictions_survive_their_file(tmp_path):
    boxes = [found(((0.25, 0, 10, 10), 0, 0.9), ((50, 50, 70, 62), 1, 1 / 3)), found(), found()]
    frames = labelled(TRUE)
    write_predictions(tmp_path / "p.json", frames, boxes)
    read = read_predictions(tmp_path / "p.json", frames)
    assert score(frames, read) == score(frames, boxes)
    np.testing.assert_array_equal(read[0].scores, boxes[0].scores)


def test_predictions_of_other_detectors_name_frames_in_their_own_way(tmp_path):
    path = tmp_path / "p.json"
    result = {"image_id": 3, "category_id": 0, "bbox": [20, 20, 20, 40], "score": 0.5}
    path.write_text(json.dumps([result]))
    assert [len(boxes) for boxes in read_predictions(path, labelled(TRUE))] == [0, 0, 1]
    whole = {
        "images": [{"id": 3, "file_name": "x/1D.jpg"}],
        "categories": [{"id": 0, "name": "car"}],
        "annotations": [result],
    }
    path.write_text(json.dumps(whole))
    read = read_predictions(path, labelled(TRUE))
    assert [len(boxes) for boxes in read] == [1, 0, 0] and read[0].classes[0] == 1
    coco = Labels(CLASSES, {}, (), {3: "2D"}, {0: 1})
    path.write_text(json.dumps([result]))
    read = read_predictions(path, labelled(TRUE, labels=(coco,)))
    assert [len(boxes) for boxes in read] == [0, 1, 0] and read[1].classes[0] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no sound COCO"),
        ('{"images": []}', "holds no COCO results"),
        ('[{"image_id": 9, "category_id": 0, "bbox": [0, 0, 1, 1], "score": 1}]', "image_id 9"),
        ('[{"image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1], "score": 1}]', "category_id 5"),
        ('[{"image_id": 1, "category_id": 0, "bbox": [0, 0, 1], "score": 1}]', "lacks"),
        ('[{"image_id": 1, "category_id": 0, "bbox": [0, 0, 1, NaN], "score": 1}]', "malformed"),
    ],
)
def test_wrong_predictions_are_named(tmp_path, content, said):
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(FusionError, match=said):
        read_predictions(path, labelled(TRUE))


def test_boxes_are_drawn_in_the_colour_of_what_became_of_them():
    boxes = found(((5, 40, 30, 70), 0, 0.9), ((60, 40, 90, 70), 0, 0.9), ((60, 5, 70, 15), 0, 0.1))
    true = Boxes.true([(5, 40, 30, 70), (40, 75, 60, 95)], [0, 1])
    frame = np.zeros((100, 100, 4), np.uint8)
    picture = draw_boxes(frame, true, boxes, 0.5, CLASSES)
    assert picture.shape == (100, 100, 3) and not frame.any()
    assert tuple(picture[55, 5]) == FOUND
    assert tuple(picture[55, 60]) == WRONG
    assert tuple(picture[85, 40]) == MISSED
    assert not picture[5:16, 60:71].any()  # below the threshold


def test_the_worst_and_the_best_frames_are_chosen():
    boxes = [TRUE[0], found(), found()]
    assert choose_frames(labelled(TRUE), boxes, 0.5, 1) == {2: "worst F1 0.00", 0: "best F1 1.00"}
