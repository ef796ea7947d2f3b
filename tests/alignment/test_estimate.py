from dataclasses import replace

import cv2
import numpy as np
import pytest

from fsidfusion.alignment.estimate import NotBetterError, estimate, from_points
from fsidfusion.alignment.judgement import Fit
from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.alignment.small import Rival, doubt_of
from fsidfusion.errors import FusionError
from fsidfusion.studies.scenes import render_scene

STILL = pixel_grid((240, 320))


@pytest.mark.parametrize(("method", "bound"), [("edges", 2), ("ecc", 3), ("mi", 4)])
def test_a_known_warp_is_found_as_far_as_a_matrix_can(scene, warped, end_point_error, method, bound):
    if method == "mi":
        pytest.importorskip("SimpleITK")
    infrared, truth = warped
    alignment = estimate([(infrared, scene.visible)], method=method)
    assert end_point_error(alignment, truth) < bound
    assert alignment.score > alignment.score_without + 0.1
    assert (alignment.visible_size, alignment.infrared_size, alignment.pairs) == ((240, 320), (240, 320), 1)
    assert alignment.method == method
    assert alignment.residual < 4


def test_a_field_follows_what_no_matrix_can(scene, warped, end_point_error):
    infrared, truth = warped
    alignment = estimate([(infrared, scene.visible)], field=True)
    assert alignment.field is not None
    assert end_point_error(alignment, truth) < end_point_error(replace(alignment, field=None), truth)


@pytest.mark.parametrize("model", ["translation", "homography"])
def test_a_shift_is_found_by_every_family(scene, end_point_error, model):
    truth = STILL + np.float32((9, -6))
    infrared = sample(scene.infrared, STILL - np.float32((9, -6)), outside=0.0)
    assert end_point_error(estimate([(infrared, scene.visible)], model=model), truth) < 1


def test_intensities_may_be_inverted_and_deep(scene, warped, end_point_error):
    infrared, truth = warped
    counts = 8000 - infrared.astype(np.uint16) * 3
    assert end_point_error(estimate([(counts, scene.visible)]), truth) < 2


def test_another_resolution_and_field_of_view(scene):
    """The infrared picture shows the middle 60 % of the frame, at half the resolution of the visible one."""
    part = np.ascontiguousarray(scene.infrared[48:192, 64:256])
    small = cv2.resize(part, (96, 72), interpolation=cv2.INTER_AREA)
    truth = (STILL - (64, 48) + np.float32(0.5)) * np.float32(0.5) - np.float32(0.5)
    field_of_view = 50.0
    narrow = np.degrees(2 * np.arctan(0.6 * np.tan(np.radians(field_of_view / 2))))
    alignment = estimate([(small, scene.visible)], infrared_fov=float(narrow), visible_fov=field_of_view)
    distances = np.linalg.norm(alignment.place(STILL) - truth, axis=-1)
    assert np.median(distances[60:180, 80:240]) < 1


def test_many_pairs_of_a_rig_outvote_a_bad_one(end_point_error):
    scenes = [render_scene(seed, (240, 320), smoke=False) for seed in (1, 2, 4)]
    shift = np.float32((-11, 7))
    pairs = [(sample(scene.infrared, STILL - shift, outside=0.0), scene.visible) for scene in scenes]
    pairs.append((pairs[0][0], scenes[1].visible))  # not of one scene
    pairs.append((np.full_like(pairs[0][0], 90), scenes[1].visible))  # flat
    alignment = estimate(pairs)
    assert alignment.pairs == 4
    assert end_point_error(alignment, STILL + shift) < 1


def test_what_is_aligned_is_left_alone(scene):
    with pytest.raises(
        NotBetterError, match=r"no better than the pictures as they are \(score 0\.\d+, without"
    ):
        estimate([(scene.infrared, scene.visible)])


def test_pictures_that_share_nothing_are_refused(scene):
    generator = np.random.default_rng(0)
    noise = cv2.GaussianBlur(generator.integers(0, 256, (240, 320), np.uint8), (0, 0), 3)
    with pytest.raises(FusionError, match="share too few edges") as caught:
        estimate([(noise, scene.visible)])
    assert not isinstance(caught.value, NotBetterError)


@pytest.mark.parametrize(("flat", "name"), [(0, "infrared"), (1, "visible")])
def test_flat_pictures_are_named(scene, flat, name):
    pair = [scene.infrared, scene.visible]
    pair[flat] = np.full_like(pair[flat], 70)
    with pytest.raises(FusionError, match=f"the {name} picture is flat"):
        estimate([tuple(pair)])


def test_wrong_calls_are_refused(scene):
    pair = (scene.infrared, scene.visible)
    with pytest.raises(FusionError, match="no pairs"):
        estimate([])
    with pytest.raises(FusionError, match="not of one camera"):
        estimate([pair, (scene.infrared[:100], scene.visible)])
    with pytest.raises(FusionError, match="too few to align"):
        estimate([(scene.infrared[:20], scene.visible)])
    with pytest.raises(FusionError, match="one field of view says nothing"):
        estimate([pair], infrared_fov=40)
    with pytest.raises(FusionError, match="1 to 160 degrees"):
        estimate([pair], infrared_fov=40, visible_fov=300)
    with pytest.raises(FusionError, match="choose one of them"):
        estimate([pair], method="mi", model="homography")
    with pytest.raises(FusionError, match="method 'magic'"):
        estimate([pair], method="magic")


def test_matched_points_give_their_transform():
    visible = np.array([[10, 10], [300, 20], [290, 200], [15, 220]], float)
    infrared = visible * 0.5 + (3, 4)
    alignment = from_points(visible, infrared, (240, 320), (130, 170))
    assert alignment.residual == pytest.approx(0, abs=1e-9)
    assert np.allclose(alignment.place(visible), infrared, atol=1e-4)
    with pytest.raises(FusionError, match="infrared point 153,14 lies outside"):
        from_points(visible, infrared, (240, 320), (130, 140))


def test_unequal_sizes_of_unknown_fields_of_view(scene):
    """The infrared picture shows the middle 80 % of the frame, at a quarter of the pixels."""
    part = np.ascontiguousarray(scene.infrared[24:216, 32:288])
    small = cv2.resize(part, (128, 96), interpolation=cv2.INTER_AREA)
    truth = (STILL - (32, 24) + np.float32(0.5)) * np.float32(0.5) - np.float32(0.5)
    distances = np.linalg.norm(estimate([(small, scene.visible)]).place(STILL) - truth, axis=-1)
    assert np.median(distances[40:200, 50:270]) < 1


def test_a_small_field_is_found_wherever_it_lies_in_the_frame():
    """The infrared camera sees a fifth of the visible frame, far from its middle."""
    scene = render_scene(5, (480, 640))
    left, top, width, height = 60, 250, 128, 96
    infrared = cv2.resize(scene.infrared[top : top + height, left : left + width], (320, 240))
    narrow = np.degrees(2 * np.arctan(0.2 * np.tan(np.radians(35))))
    alignment = estimate(
        [(infrared, scene.visible)], model="similarity", infrared_fov=float(narrow), visible_fov=70.0
    )
    field = pixel_grid((height, width)) + np.float32((left, top))
    truth = (pixel_grid((height, width)) + np.float32(0.5)) * np.float32(2.5) - np.float32(0.5)
    errors = np.linalg.norm(alignment.place(field) - truth, axis=-1) / 2.5
    assert np.median(errors) < 2


def test_a_place_that_is_no_better_than_another_is_refused():
    """Two like groups of objects in the visible frame; the infrared camera sees one of them."""
    random = np.random.default_rng(4)
    group = np.zeros((96, 96), np.uint8)
    for _ in range(14):
        x, y, w, h = random.integers((4, 4, 8, 8), (70, 70, 26, 26))
        group[y : y + h, x : x + w] = random.integers(60, 255)
    visible = random.integers(20, 26, (240, 480)).astype(np.uint8)
    visible[72:168, 60:156] = visible[72:168, 230:326] = np.maximum(group, 20)
    infrared = cv2.resize(group, (192, 192))
    narrow = np.degrees(2 * np.arctan(0.2 * np.tan(np.radians(35))))
    with pytest.raises(FusionError, match="pixels away they fit as well as at the best place"):
        estimate([(infrared, visible)], model="similarity", infrared_fov=float(narrow), visible_fov=70.0)


def test_a_small_field_with_hardly_an_edge_is_refused():
    scene = render_scene(1121, (480, 640))
    infrared = np.ascontiguousarray(scene.infrared[20:116, 70:198])
    narrow = np.degrees(2 * np.arctan(0.2 * np.tan(np.radians(35))))
    with pytest.raises(FusionError, match="the pictures cannot be aligned"):
        estimate([(infrared, scene.visible)], infrared_fov=float(narrow), visible_fov=70.0)


def test_why_a_small_field_is_doubted():
    best = Fit(0.4, 0.05, 0.03)
    assert doubt_of(best, [Rival(0.39, 0.8)], 1.0) == ""
    assert doubt_of(best, [Rival(0.39, 1.8)], 2.0) == ""  # of a frame that was compared at half its size
    assert "30.0 visible pixels away they fit as well" in doubt_of(
        best, [Rival(0.39, 30), Rival(0.4, 0)], 1.0
    )
    assert "shares too few edges" in doubt_of(Fit(0.4, 0.05, 0.07), [], 1.0)
