import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.cli import main
from fsidfusion.errors import InputError
from fsidfusion.evaluation.boxes import Boxes
from fsidfusion.evaluation.evaluate import Condition, parse_degradation
from fsidfusion.evaluation.visibility import Target, see, subsets, summarise, visibility
from fsidfusion.images.files import Picture, write_picture

BOX = (40, 30, 60, 70)


def figure(inside, around, size=(100, 120)):
    image = np.full((*size, *np.shape(inside)), around, np.uint8)
    image[30:70, 40:60] = inside
    return image


@pytest.mark.parametrize("inside, around", [(200, 90), (90, 200), (91, 90)])
def test_a_target_of_either_sign_is_wholly_seen_and_one_alike_is_not(inside, around):
    assert visibility(figure(inside, around), BOX) == 1
    assert visibility(figure(around, around), BOX) == 0


def test_it_is_the_chance_that_a_core_pixel_is_brighter():
    random = np.random.default_rng(0)
    image = random.integers(0, 60, (100, 120)).astype(np.uint8)
    image[30:70, 40:60] += 20
    core = image[33:67, 44:56].ravel().astype(int)
    ring = np.ones((60, 40), bool)
    ring[10:50, 10:30] = False
    around = image[20:80, 30:70][ring].astype(int)
    brighter = (core[:, None] > around).mean() + 0.5 * (core[:, None] == around).mean()
    assert visibility(image, BOX) == pytest.approx(abs(2 * brighter - 1), abs=1e-12)


@given(st.integers(0, 9))
def test_a_monotone_change_of_gray_levels_changes_nothing(seed):
    image = np.random.default_rng(seed).integers(0, 128, (100, 120)).astype(np.uint8)
    assert visibility(image, BOX) == visibility((2 * image + 1).astype(np.uint8), BOX)
    assert visibility(image, BOX) == pytest.approx(visibility(255 - image, BOX))


def test_colour_tells_what_luma_does_not():
    orange, gray = (200, 100, 60), (125, 125, 125)
    image = figure(orange, gray)
    assert visibility(image, BOX) == 1
    luma = np.round(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    assert visibility(luma, BOX) == 0


def test_other_targets_are_left_out_of_the_ring():
    image = figure(200, 90)
    image[30:70, 62:70] = 200
    assert visibility(image, BOX) < 1
    assert visibility(image, BOX, [(62, 30, 70, 70)]) == 1
    assert np.isnan(visibility(image, (0, 0, 120, 100)))


def test_small_boxes_do_not_count_and_kept_is_against_the_better_source():
    boxes = Boxes.true([BOX, (5, 5, 10, 30), (5, 5, 30, 14)], [0, 0, 0])
    infrared, visible = figure(200, 90), figure(90, 90)
    (target,) = see("1D", boxes, ("person",), infrared, visible, {"fused": infrared, "lost": visible})
    assert target.visibility == {"infrared": 1, "visible": 0, "fused": 1, "lost": 0}
    assert target.kept("fused") and target.kept("infrared") and not target.kept("lost")


def test_shares_by_day_and_night_with_intervals():
    def seen(pair, value):
        return Target(pair, "person", {"infrared": 0.8, "visible": 0.5, "fused": value})

    targets = [seen(f"{i}D", 0.73) for i in range(6)] + [seen(f"{i}N", 0.1) for i in range(2)]
    groups = subsets(targets)
    assert {name: len(group) for name, group in groups.items()} == {
        "person": 8,
        "person, day": 6,
        "person, night": 2,
    }
    share = summarise(targets, "fused")
    assert (share.targets, share.kept) == (8, 0.75)
    assert share.visibility == pytest.approx((6 * 0.73 + 2 * 0.1) / 8)
    assert 0.3 < share.kept_interval[0] < 0.75 < share.kept_interval[1] <= 1


def test_a_degradation_is_the_same_for_every_method_and_leaves_the_other_source():
    infrared, visible = figure(200, 90), figure((200, 90, 30), (80, 90, 100))
    condition = Condition("smoke:0.9")
    first, second = (condition.degraded("7N", infrared, visible) for _ in range(2))
    np.testing.assert_array_equal(first[1], second[1])
    assert first[0] is infrared
    assert (first[1] != visible).any()
    assert (condition.degraded("8N", infrared, visible)[1] != first[1]).any()
    striped = Condition("stripes").degraded("7N", infrared, visible)
    assert striped[1] is visible
    assert (striped[0] != infrared).any()


@pytest.mark.parametrize("text", ["fog", "smoke:", "smoke:2", "smoke:0", "smoke:nan", "smoke:x"])
def test_a_wrong_degradation_is_one_line(text):
    with pytest.raises(InputError, match="degradation"):
        parse_degradation(text)


@pytest.fixture
def scene(tmp_path):
    for name in ("1D", "2N"):
        write_picture(tmp_path / "ir" / f"{name}.png", Picture(figure(220, 60)))
        write_picture(tmp_path / "vis" / f"{name}.png", Picture(figure((70, 80, 90), (120, 110, 100))))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").write_text(f"0 {50 / 120} 0.5 {20 / 120} 0.4\n")
    (tmp_path / "labels" / "classes.txt").write_text("person\n")
    return tmp_path


def call(scene, *more):
    return main(["evaluate", "--ir", str(scene / "ir"), "--vis", str(scene / "vis"), *more])


def test_the_command_tells_visibility_of_models_in_colours(scene, capsys):
    options = ("--labels", str(scene / "labels"), "--color", "gray", "visible", "heat", "--metrics", "EN")
    assert call(scene, "--model", "maximum", "--range", "none", *options) == 0
    printed = capsys.readouterr().out
    assert "person, night: 1 targets" in printed and "maximum+heat" in printed
    assert call(scene, "--model", "maximum", "--range", "none", *options, "--json") == 0
    visibility = json.loads(capsys.readouterr().out)["visibility"]
    assert visibility["person"]["infrared"]["kept"] == 1
    assert visibility["person"]["maximum+heat"]["kept"] == 1


def test_under_smoke_the_clean_sources_are_what_is_scored_against(scene, capsys):
    options = ("--model", "maximum", "--metrics", "EN", "CC", "--range", "none")
    scores = []
    for more in ((), ("--degrade", "smoke")):
        assert call(scene, *options, *more, "--json") == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0]["pairs"] != scores[1]["pairs"]
    assert scores[0]["sha256"]["1D"]["visible"] == scores[1]["sha256"]["1D"]["visible"]


def test_wrong_calls_are_one_line(scene, capsys):
    assert call(scene, "--fused", str(scene / "vis"), "--degrade", "smoke") == 2
    assert "fused already" in capsys.readouterr().err
    assert call(scene, "--model", "maximum", "--degrade", "rain") == 2
    assert "degradation 'rain' is unknown" in capsys.readouterr().err
    (scene / "labels" / "1D.txt").write_text("")
    (scene / "labels" / "2N.txt").write_text("")
    assert call(scene, "--model", "maximum", "--labels", str(scene / "labels")) == 2
    assert "holds no box" in capsys.readouterr().err
