from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fsidfusion.errors import FusionError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.images.pairs import Pair
from fsidfusion.studies.downstream.detection.canvas import Chances
from fsidfusion.studies.downstream.detection.config import DetectConfig
from fsidfusion.studies.downstream.detection.files import Trained, load_detector, save_detector
from fsidfusion.studies.downstream.detection.frames import LabelledFrames
from fsidfusion.studies.downstream.detection.network import STRIDE, Detector
from fsidfusion.studies.downstream.detection.scores import score
from fsidfusion.studies.downstream.detection.training import detect, train_detector
from fsidfusion.studies.scenes import render_scene
from fsidfusion.studies.scenes.rendered_set import BOXES
from memory_peak import growth_below

SIZE = (96, 128)
SMALL = DetectConfig(size=SIZE, epochs=1, batch=5, width=8)
UNCHANGED = Chances(flip=0, zoom=(1, 1), stretch=1, gain=0, offset=0)
SMALLEST = 7  # pixels of a side of the boxes that the small frames show well enough


@pytest.fixture(scope="module")
def scenes():
    """Ten rendered frames, each with one to nine objects, and their boxes."""
    frames, boxes = [], []
    for seed in range(100):
        scene = render_scene(seed, SIZE, "day", smoke=False)
        large = [
            thing
            for thing in scene.objects
            if min(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]) >= SMALLEST
        ]
        if 1 <= len(large) <= 9:
            frames.append(scene.visible)
            boxes.append(Boxes.true([t.box for t in large], [BOXES.index(t.category) for t in large]))
        if len(frames) == 10:
            return frames, boxes
    raise AssertionError("too few scenes")


def test_ten_frames_are_learnt_by_heart(scenes):
    frames, boxes = scenes
    pairs = tuple(Pair(f"{number}D", Path(), Path()) for number in range(10))
    labelled = LabelledFrames(BOXES, pairs, (SIZE,) * 10, tuple(boxes), ())
    seen = []
    config = replace(SMALL, epochs=90, learning_rate=4e-3)
    reached = train_detector(frames, boxes, 3, config, chances=UNCHANGED, on_step=seen.append)
    detector = reached.network
    result = score(labelled, detect(detector, frames, SIZE))
    assert result.values["all/mAP50"] > 0.95
    assert len(seen) == 180 and reached.finished
    assert set(seen[-1].losses) == {"likelihood", "boxes"}


def test_the_same_seed_gives_the_same_detector(scenes):
    frames, boxes = scenes
    first, second, other = (train_detector(frames, boxes, 3, SMALL, seed).network for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.heat.weight, other.heat.weight)


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_stopped_training_goes_on_to_the_same_weights(scenes, tmp_path, precision):
    frames, boxes = scenes
    config, last = replace(SMALL, batch=4, epochs=2), 6  # steps: two epochs of 4, 4 and 2 frames
    whole = train_detector(frames, boxes, 3, config, precision=precision).network.state_dict()
    seen = []
    for number in range(1, last + 1):  # a deadline in the past: one step a call
        reached = train_detector(
            frames,
            boxes,
            3,
            config,
            folder=tmp_path,
            precision=precision,
            deadline=0.0,
            on_step=seen.append,
        )
        assert reached.step == number
    assert [at.step for at in seen] == list(range(1, last + 1)) and reached.finished
    for name, value in whole.items():
        assert torch.equal(value, reached.network.state_dict()[name]), name
    with pytest.raises(FusionError, match=r"other data or settings \(config\)"):
        train_detector(frames, boxes, 3, replace(config, batch=5), folder=tmp_path, precision=precision)
    with pytest.raises(FusionError, match=r"other data or settings \(frames\)"):
        train_detector(
            frames, boxes, 3, config, folder=tmp_path, identity={"frames": "x"}, precision=precision
        )


def test_four_channels_are_learnt_from_as_well(scenes):
    frames, boxes = scenes
    stacked = [np.dstack((frame, frame[..., :1])) for frame in frames]
    detector = train_detector(stacked, boxes, 3, SMALL).network
    assert detector.config["channels"] == 4
    assert len(detect(detector, stacked[:1], SIZE)) == 1


def test_found_boxes_lie_in_frames_of_any_size():
    torch.manual_seed(0)
    detector = Detector(2, width=8).eval()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((50, 90), (200, 120))]
    for frame, boxes in zip(frames, detect(detector, frames, SIZE)):
        assert 0 < len(boxes) <= 100
        assert boxes.corners.min() >= 0 and (boxes.corners[:, 2:] > boxes.corners[:, :2]).all()
        assert (boxes.corners[:, 2] <= frame.shape[1]).all() and (boxes.corners[:, 3] <= frame.shape[0]).all()
        assert (np.diff(boxes.scores) <= 0).all()


def test_the_grid_has_a_cell_for_every_four_pixels():
    logits, corners = Detector(3, channels=4, width=8)(torch.zeros(2, 4, 32, 48))
    assert logits.shape == (2, 3, 32 // STRIDE, 48 // STRIDE)
    assert corners.shape == (2, 4, 32 // STRIDE, 48 // STRIDE)


def test_a_detector_survives_its_file(tmp_path):
    detector = Detector(2, width=8).eval()
    path = tmp_path / "new" / "detector.safetensors"
    save_detector(path, Trained(detector, ("a", "b"), "visible", "", SMALL, 3))
    read = load_detector(path)
    assert replace(read, detector=detector) == Trained(detector, ("a", "b"), "visible", "", SMALL, 3)
    for name, value in detector.state_dict().items():
        assert torch.equal(value, read.detector.state_dict()[name])


def test_files_that_hold_no_detector_are_refused(tmp_path):
    from fsidfusion.network.names import WEIGHTS

    with pytest.raises(FusionError, match="there is no file"):
        load_detector(tmp_path / "absent.safetensors")
    with pytest.raises(FusionError, match="holds no detector but fsidfusion-light"):
        load_detector(WEIGHTS / "fsidfusion-light.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"12345678")
    with pytest.raises(FusionError, match="not a whole safetensors file"):
        load_detector(tmp_path / "cut.safetensors")
    path = tmp_path / "whole.safetensors"
    save_detector(path, Trained(Detector(2, width=8), ("a", "b"), "visible", "", SMALL, 3))
    with safe_open(path, "pt") as file:
        tensors, described = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    for changed in ({"config": '{"classes": 1, "width": 100000}'}, {"classes": "[1]"}, {"schedule": "[]"}):
        save_file(tensors, path, {**described, **changed})
        with growth_below(200 << 20), pytest.raises(FusionError, match="does not fit the detector"):
            load_detector(path)


def test_what_cannot_be_trained_is_refused(scenes):
    frames, boxes = scenes
    with pytest.raises(FusionError, match="multiples of 16"):
        train_detector(frames, boxes, 3, replace(SMALL, size=(100, 128)))
    with pytest.raises(FusionError, match="nothing to learn"):
        train_detector(frames, [Boxes.true((), ())] * 10, 3, SMALL)
