import cv2
import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.files import read_picture
from fsidfusion.images.sets import open_set
from fsidfusion.studies.scenes import render_scene
from fsidfusion.studies.scenes.rendered_set import BOXES, write_scene_set, yolo_boxes

SIZE = (96, 128)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    list(write_scene_set(folder, 3, 2, SIZE))
    return folder


def test_layout_is_that_of_msrs(root):
    train, test = open_set(root, "train"), open_set(root, "test")
    assert [pair.name for pair in train.pairs] == ["100000D", "100002N", "100004D"]
    assert [pair.name for pair in test.pairs] == ["100001D", "100003N"]
    assert (root / "train/labels/classes.txt").read_text().split() == list(BOXES)


def test_files_hold_the_scene_of_the_seed(root):
    scene = render_scene(100_003, SIZE, "night", smoke=False)
    pair = open_set(root, "test").pairs[1]
    np.testing.assert_array_equal(read_picture(pair.infrared).pixels, scene.infrared)
    np.testing.assert_array_equal(read_picture(pair.visible).pixels, scene.visible)
    np.testing.assert_array_equal(read_picture(pair.labels).pixels, scene.labels)
    assert (root / "test/labels/100003N.txt").read_text() == yolo_boxes(scene)


def test_yolo_boxes_enclose_the_masks():
    scene = render_scene(4, SIZE)
    lines = [line.split() for line in yolo_boxes(scene).splitlines()]
    assert len(lines) == len(scene.objects) > 0
    for line, thing in zip(lines, scene.objects, strict=True):
        x, y, w, h = np.array(line[1:], float) * np.array([128, 96, 128, 96])
        found = cv2.boundingRect(thing.mask.astype(np.uint8))
        np.testing.assert_allclose([x - w / 2, y - h / 2, w, h], found, atol=1e-3)
        assert BOXES[int(line[0])] == thing.category


def test_going_on_keeps_what_is_there(tmp_path):
    first = next(iter(write_scene_set(tmp_path, 2, 0, SIZE)))
    before = first.stat().st_mtime_ns
    assert len(list(write_scene_set(tmp_path, 2, 1, SIZE))) == 3
    assert first.stat().st_mtime_ns == before


def test_smoke_comes_with_its_mark(tmp_path):
    names = [path.stem for path in write_scene_set(tmp_path, 0, 8, SIZE)]
    assert [name.lstrip("0123456789") for name in names] == ["D", "N", "D", "N", "D", "N", "DS", "NS"]


@pytest.mark.parametrize(
    ("numbers", "size", "message"),
    [((0, 0), SIZE, "at least one"), ((1, 0), (100, 128), "96x128, not 100x128")],
)
def test_wrong_calls(root, numbers, size, message):
    with pytest.raises(FusionError, match=message):
        list(write_scene_set(root, *numbers, size))
