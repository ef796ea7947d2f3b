import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fsidfusion.errors import FusionError
from fsidfusion.studies.downstream.segmentation.classes import IGNORED, MSRS
from fsidfusion.studies.downstream.segmentation.config import SegmentConfig
from fsidfusion.studies.downstream.segmentation.crops import Crops
from fsidfusion.studies.downstream.segmentation.network import Segmenter, load_segmenter, save_segmenter
from fsidfusion.studies.downstream.segmentation.scores import confusion_matrix, score
from fsidfusion.studies.downstream.segmentation.training import (
    class_weights,
    learning_rate,
    predict,
    segmentation_loss,
    train_segmenter,
)
from fsidfusion.studies.scenes import render_scene

TINY = SegmentConfig(steps=4, batch=2, crop=(32, 48))


@pytest.fixture(scope="module")
def scenes():
    drawn = [render_scene(seed, (96, 128), "day", smoke=False) for seed in (3, 4, 5)]
    return [scene.visible for scene in drawn], [scene.labels for scene in drawn]


def test_overfits_a_few_scenes(scenes):
    frames, masks = (side[:2] for side in scenes)
    config = SegmentConfig(steps=80, batch=2, crop=(96, 128))
    network = train_segmenter(frames, masks, 9, config, seed=0, device="cpu").network
    matrix = sum(confusion_matrix(m, predict(network, f), 9) for f, m in zip(frames, masks, strict=True))
    result = score(matrix, MSRS.names)
    assert result.by_class["IoU"][0] > 0.9  # the background
    assert result.by_class["IoU"][1] > 0.6  # cars, of which there are few pixels


def test_same_seed_same_network_other_seed_another(scenes):
    one, same, other = (
        train_segmenter(*scenes, 9, TINY, seed, device="cpu").network.state_dict()["head.weight"]
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_a_seed_gives_every_input_the_same_first_weights():
    torch.manual_seed(5)
    three = Segmenter(3, 9).state_dict()
    torch.manual_seed(5)
    four = Segmenter(4, 9).state_dict()
    same = {
        name
        for name in three
        if three[name].shape == four[name].shape and torch.equal(three[name], four[name])
    }
    assert three.keys() - same == {"stem.0.weight"}


def test_a_stopped_training_goes_on_to_the_same_weights(scenes, tmp_path):
    whole = train_segmenter(*scenes, 9, TINY, 0, device="cpu").network
    steps = []
    for _ in range(TINY.steps):  # a deadline in the past: one step a call
        reached = train_segmenter(
            *scenes, 9, TINY, 0, folder=tmp_path, device="cpu", deadline=0.0, on_step=steps.append
        )
    assert [at.step for at in steps] == [1, 2, 3, 4] and reached.finished
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(reached.network.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(FusionError, match="other data or settings"):
        train_segmenter(*scenes, 9, replace(TINY, steps=5), 0, folder=tmp_path, device="cpu")
    with pytest.raises(FusionError, match="other data or settings"):
        train_segmenter(*scenes, 9, TINY, 0, folder=tmp_path, identity={"data": "x"}, device="cpu")


def test_wrong_calls(scenes):
    frames, masks = scenes
    with pytest.raises(FusionError, match="multiples of 16"):
        train_segmenter(frames, masks, 9, replace(TINY, crop=(33, 48)), 0)
    with pytest.raises(FusionError, match="3 frames and 2 masks"):
        train_segmenter(frames, masks[:2], 9, TINY, 0)
    with pytest.raises(FusionError, match="takes 4 channels"):
        predict(Segmenter(4, 9), frames[0])


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (1, 7)])
def test_predicts_frames_of_any_size(size):
    found = predict(Segmenter(3, 5).eval(), np.zeros((*size, 3), np.uint8))
    assert found.shape == size
    assert found.dtype == np.uint8
    assert found.max() < 5


def test_weights_go_to_a_file_and_back(tmp_path, scenes):
    network = train_segmenter(*scenes, 9, replace(TINY, steps=1), 0, device="cpu").network
    path = tmp_path / "new" / "weights.safetensors"
    save_segmenter(path, network, MSRS, "visible")
    loaded, classes, trained_on = load_segmenter(path, torch.device("cpu"))
    assert (classes, trained_on) == (MSRS, "visible")
    np.testing.assert_array_equal(predict(loaded, scenes[0][0]), predict(network, scenes[0][0]))
    path.write_bytes(path.read_bytes()[:1000])
    for wrong in (path, tmp_path / "none.safetensors"):
        with pytest.raises(FusionError, match="is no segmenter"):
            load_segmenter(wrong, torch.device("cpu"))


def test_crops_keep_pixels_and_labels_together():
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 5, (40, 60)).repeat(8, 0).repeat(8, 1).astype(np.uint8) for _ in range(2)]
    frames = [np.repeat(mask[..., None] * np.uint8(40), 3, 2) for mask in masks]
    pixels, labels = Crops(frames, masks, (64, 96), 4, seed=3)(0)
    assert (pixels.shape, labels.shape) == ((4, 3, 64, 96), (4, 64, 96))
    assert (pixels.dtype, labels.dtype) == (np.float32, np.int64)
    for crop, truth in zip(pixels[:, 0], labels, strict=True):
        levels = [np.median(crop[truth == value]) for value in np.unique(truth)]
        assert (np.diff(levels) > 0.05).all()  # each label has its own level, in order
        assert (np.abs(crop - np.array(levels)[np.searchsorted(np.unique(truth), truth)]) < 0.01).mean() > 0.7


def test_crops_are_the_same_for_every_input(scenes):
    frames, masks = scenes
    stacked = [np.dstack((frame, frame[..., 0])) for frame in frames]
    first, second = (Crops(given, masks, (32, 48), 5, seed=7) for given in (frames, stacked))
    for step in (0, 3):
        (pixels, labels), (more, same) = first(step), second(step)
        np.testing.assert_array_equal(labels, same)
        np.testing.assert_array_equal(pixels, more[:, :3])


def test_every_frame_is_drawn_once_a_round():
    frames = [np.full((32, 48, 3), 10 * place, np.uint8) for place in range(6)]
    masks = [np.full((32, 48), place, np.uint8) for place in range(6)]
    crops = Crops(frames, masks, (32, 48), 3, seed=0)
    seen = np.concatenate([crops(step)[1][:, 0, 0] for step in range(4)])
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))


def test_small_frames_are_enlarged_to_a_crop():
    frame, mask = np.zeros((20, 24, 3), np.uint8), np.ones((20, 24), np.uint8)
    pixels, labels = Crops([frame], [mask], (32, 48), 2, seed=0)(0)
    assert pixels.shape[2:] == labels.shape[1:] == (32, 48)
    assert (labels == 1).all()


def test_loss_against_a_plain_form():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 6, generator=rng)
    labels = torch.randint(0, 3, (2, 5, 6), generator=rng)  # the fourth class does not occur
    labels[0, :2] = IGNORED
    weights = torch.tensor([0.5, 1.0, 2.0, 1.0])
    counted = labels != IGNORED
    chances = logits.softmax(1).movedim(1, -1)[counted]  # (N, 4)
    truth = labels[counted]
    each = -chances[torch.arange(len(truth)), truth].log() * weights[truth]
    entropy = each.sum() / weights[truth].sum()
    dices = []
    for place in range(3):
        is_it = (truth == place).float()
        dices.append(2 * (chances[:, place] * is_it).sum() / (chances[:, place].sum() + is_it.sum()))
    expected = entropy + 0.7 * (1 - torch.stack(dices).mean())
    torch.testing.assert_close(segmentation_loss(logits, labels, weights, 0.7), expected)
    nothing = segmentation_loss(logits, torch.full_like(labels, IGNORED), weights, 0.7)
    assert float(nothing) == 0.0


def test_class_weights_favour_rare_classes():
    masks = [np.array([[0] * 90 + [1] * 9 + [IGNORED]], np.uint8)]
    config = SegmentConfig(rare=0.5)
    weights = class_weights(masks, 2, config)
    assert float(weights[1] / weights[0]) == pytest.approx(math.sqrt(10), rel=1e-5)
    assert float((weights * torch.tensor([90, 9]) / 99).sum()) == pytest.approx(1, rel=1e-5)
    assert class_weights(masks, 2, replace(config, rare=0.0)).tolist() == [1.0, 1.0]


def test_schedule_rises_then_falls_to_nothing():
    config = SegmentConfig(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] < 0.01
    assert (np.diff(rates[9:]) <= 0).all()
