import json

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.evaluation.boxes import time_of_day
from fsidfusion.evaluation.labels import read_labels
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.downstream.detection.frames import fixed_split, open_detection_set
from fsidfusion.studies.scenes.rendered_set import write_scene_set

SIZES = {"a": (100, 200)}


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "classes.txt").write_text("0 person\n1 bicycle\n2 car\n")
    return tmp_path


def write_pairs(folder, names):
    for name in names:
        for side in ("ir", "vi"):
            write_picture(folder / side / f"{name}.png", Picture(np.full((20, 40), len(side), np.uint8)))


def test_yolo_lines_become_corners_in_pixels(labels):
    (labels / "a.txt").write_text("2 0.5 0.5 0.1 0.2\n\n0 0.05 0.1 0.1 0.2  \n")
    read = read_labels(labels, SIZES)
    assert read.classes == ("person", "bicycle", "car") and read.bad == ()
    np.testing.assert_allclose(read.boxes["a"].corners, [(90, 40, 110, 60), (0, 0, 20, 20)], atol=1e-4)
    np.testing.assert_array_equal(read.boxes["a"].classes, [2, 0])


def test_an_empty_file_means_no_object(labels):
    (labels / "a.txt").write_text("")
    read = read_labels(labels, SIZES)
    assert len(read.boxes["a"]) == 0 and read.bad == ()


def test_a_box_that_leaves_by_a_rounding_is_cut(labels):
    (labels / "a.txt").write_text("0 0.05 0.5 0.104 0.2\n")
    read = read_labels(labels, SIZES)
    assert read.bad == () and read.boxes["a"].corners[0, 0] == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3 0.5 0.5 0.1 0.1", "class 3 is out of range 0..2"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is out of range"),
        ("1.5 0.5 0.5 0.1 0.1", "no"),
        ("0 0.99 0.5 0.1 0.1", "leaves the frame of 200x100"),
        ("0 0.5 0.5 0 0.1", "is empty"),
        ("0 0.5 0.5 nan 0.1", "not finite"),
        ("0 0.5 0.5 0.1", "expected 'class x y w h'"),
        ("person 0.5 0.5 0.1 0.1", "expected 'class x y w h'"),
    ],
)
def test_a_bad_line_is_named_and_left_out(labels, line, said):
    (labels / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    read = read_labels(labels, SIZES)
    assert len(read.boxes["a"]) == 1
    (bad,) = read.bad
    assert str(bad).startswith(f"{labels / 'a.txt'}:2: ") and said in str(bad)


def test_a_frame_without_a_file_is_left_out(labels):
    read = read_labels(labels, SIZES)
    assert dict(read.boxes) == {} and "no label file" in str(read.bad[0])


@pytest.mark.parametrize("listing", ["names: [person, car]\n", "names:\n  0: person\n  1: car\n"])
def test_data_yaml_names_the_classes(tmp_path, listing):
    (tmp_path / "data.yaml").write_text(listing)
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    assert read_labels(tmp_path, SIZES).classes == ("person", "car")


def test_labels_without_class_names_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(FusionError, match="`classes`"):
        read_labels(tmp_path, SIZES)
    assert read_labels(tmp_path, SIZES, ("x", "y")).classes == ("x", "y")


def coco(annotations):
    return {
        "images": [{"id": 17, "file_name": "train/a.jpg"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": annotations,
    }


def test_coco_files_are_read_with_their_own_ids(tmp_path):
    good = {"id": 1, "image_id": 17, "category_id": 3, "bbox": [10, 20, 30, 40]}
    crowd = {**good, "id": 2, "iscrowd": 1}
    bad = [
        {**good, "id": 3, "category_id": 2},
        {**good, "id": 4, "image_id": 5},
        {**good, "id": 5, "bbox": [190, 0, 30, 30]},
        {**good, "id": 6, "bbox": [1, 2]},
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(coco([good, crowd, *bad])))
    read = read_labels(path, SIZES)
    assert read.classes == ("person", "car")
    np.testing.assert_array_equal(read.boxes["a"].corners, [(10, 20, 40, 60)])
    np.testing.assert_array_equal(read.boxes["a"].classes, [1])
    assert [str(found).split(": ")[0] for found in read.bad] == [
        f"{path}, annotation {n}" for n in range(3, 7)
    ]


def test_the_fixed_split_is_every_ninth_and_then_the_last():
    names = [f"{number:05d}" for number in range(361)]
    test = fixed_split(names[::-1])
    assert len(test) == 80
    assert set(names[::9]) <= test
    filled = sorted(test - set(names[::9]))
    assert len(filled) == 39 and filled[0] == "00317" and filled[-1] == "00359"
    assert filled == [name for name in names[317:] if name not in names[::9]]


def test_the_real_frames_split_as_their_list_says(data_root):
    found = open_detection_set(data_root / "detect" / "msrs")
    assert (len(found.train), len(found.test), found.bad) == (281, 80, ())
    assert found.train.classes == ("person", "bicycle", "car")
    assert found.test.pairs[0].name == "00004N"


def test_the_validation_part_never_holds_a_test_frame(tmp_path):
    names = [f"{number:03d}D" for number in range(40)]
    write_pairs(tmp_path, names)
    (tmp_path / "classes.txt").write_text("person\n")
    (tmp_path / "labels").mkdir()
    for name in names:
        (tmp_path / "labels" / f"{name}.txt").write_text("")
    whole, held = open_detection_set(tmp_path), open_detection_set(tmp_path, "validation")
    tested = {pair.name for pair in whole.test.pairs}
    sides = [{pair.name for pair in side.pairs} for side in (held.train, held.test)]
    assert not tested & (sides[0] | sides[1]) and not sides[0] & sides[1]
    assert len(tested) + len(sides[0]) + len(sides[1]) == 40


@pytest.mark.parametrize("by_modality", [False, True])
def test_train_and_test_folders_are_the_split(tmp_path, by_modality):
    for split, names in (("train", "ab"), ("val", "cd")):
        write_pairs(tmp_path / split, names)
        (tmp_path / "labels" / split).mkdir(parents=True)
        for name in names:
            (tmp_path / "labels" / split / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
        if by_modality:
            for side in ("ir", "vi"):
                (tmp_path / side).mkdir(exist_ok=True)
                (tmp_path / split / side).rename(tmp_path / side / split)
            (tmp_path / split).rmdir()
    (tmp_path / "classes.txt").write_text("person\n")
    found = open_detection_set(tmp_path)
    assert [pair.name for pair in found.train.pairs] == ["a", "b"]
    assert [pair.name for pair in found.test.pairs] == ["c", "d"]


def test_coco_annotations_of_each_split_are_found(tmp_path):
    for split, name in (("train", "a"), ("test", "b")):
        write_pairs(tmp_path / split, [name])
        content = coco([{"id": 1, "image_id": 17, "category_id": 1, "bbox": [1, 2, 10, 10]}])
        content["images"][0]["file_name"] = f"{name}.png"
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(content))
    found = open_detection_set(tmp_path)
    assert [len(side.boxes[0]) for side in (found.train, found.test)] == [1, 1]


def test_bad_labels_are_refused_or_skipped(tmp_path):
    for _ in write_scene_set(tmp_path, 2, 1, (96, 128)):
        pass
    path = next((tmp_path / "train" / "labels").glob("1*.txt"))
    path.write_text(path.read_text() + "9 0.5 0.5 0.1 0.1\nnonsense\n")
    with pytest.raises(FusionError, match=r"class 9 is out of range 0..2 \(2 bad labels in all\)"):
        open_detection_set(tmp_path)
    assert len(open_detection_set(tmp_path, bad_labels="skip").bad) == 2


def test_a_folder_without_labels_says_what_was_expected(tmp_path):
    write_pairs(tmp_path, "abc")
    with pytest.raises(FusionError, match=r"labels/\*.txt or annotations.json"):
        open_detection_set(tmp_path)


@pytest.mark.parametrize(
    ("name", "time"), [("00004N", "night"), ("00055D", "day"), ("100006DS", "day"), ("AND", ""), ("007", "")]
)
def test_names_tell_the_time_of_day(name, time):
    assert time_of_day(name) == time
