import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.errors import FusionError
from fsidfusion.thermal.gain import (
    LINEAR_SHARE,
    Gain,
    Mapping,
    SteadyGain,
    apply_gain,
    apply_mapping,
    find_mapping,
    is_raw,
    parse_gain,
)

MODES = ("linear", "plateau", "clahe")


def thermal_scene(size=(96, 128), seed=0, hot=6000):
    """14-bit counts: an even background, weak texture, and a small target far above."""
    noise = np.random.default_rng(seed).normal(0, 3, size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    texture = 40 * np.sin(rows / 9) * np.sin(columns / 7) * (columns > size[1] / 2)
    counts = 7800 + texture + noise
    counts[20:26, 30:34] = 7800 + hot
    return counts.astype(np.uint16)


@pytest.mark.parametrize(
    "text, gain",
    [
        ("auto", Gain("auto")),
        ("off", Gain("off")),
        ("clahe", Gain("clahe")),
        ("window:20..40C", Gain("window", 20, 40, True)),
        ("window:-10.5..3C", Gain("window", -10.5, 3, True)),
        ("window:7000..9000", Gain("window", 7000, 9000)),
    ],
)
def test_modes_are_read(text, gain):
    assert parse_gain(text) == gain


@pytest.mark.parametrize(
    "text, words",
    [
        ("bright", "plateau"),
        ("window", "window:20"),
        ("window:20-40C", "window:20"),
        ("window:40..20C", "not above"),
        ("window:7..7", "not above"),
    ],
)
def test_modes_that_make_no_sense_are_named(text, words):
    with pytest.raises(FusionError, match=words):
        parse_gain(text)


@st.composite
def levels(draw):
    kind = draw(st.sampled_from((np.uint8, np.uint16, np.float32)))
    size = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    low, span = draw(st.integers(0, 100)), draw(st.integers(0, 155))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    values = low + span * random.random(size) ** draw(st.sampled_from((1, 4)))
    return (values * (200 if kind == np.uint16 else 1)).astype(kind)


@given(levels(), st.sampled_from(MODES))
def test_every_gain_is_bounded_finite_and_keeps_the_size(picture, mode):
    mapped = (
        apply_gain(picture, Gain(mode))
        if picture.dtype != np.float32
        else apply_mapping(picture, find_mapping(picture, Gain(mode)))
    )
    assert mapped.shape == picture.shape
    assert mapped.dtype == np.float32
    assert mapped.min() >= 0.0
    assert mapped.max() <= 1.0


@given(levels(), st.sampled_from(("linear", "plateau")))
def test_global_gains_never_turn_the_order_of_levels_around(picture, mode):
    mapped = apply_mapping(picture, find_mapping(picture, Gain(mode)))
    order = np.argsort(picture, axis=None)
    assert np.diff(mapped.ravel()[order]).min(initial=0.0) >= -1e-6
    assert len(np.unique(mapped)) <= len(np.unique(picture))  # equal levels stay equal


def test_tiles_keep_the_order_at_every_place():
    """CLAHE maps a level differently from place to place, but at one place a higher one to a higher one."""
    mapping = find_mapping(thermal_scene(), Gain("clahe"))
    assert mapping.curves.shape[:2] == (4, 5)
    steps = [apply_mapping(np.full((96, 128), level, np.uint16), mapping) for level in range(7700, 9000, 130)]
    assert np.diff(np.stack(steps), axis=0).min() >= -1e-6


def test_the_linear_gain_and_the_window_are_what_they_say():
    ramp = np.linspace(2000, 3000, 10_001).astype(np.uint16).reshape(73, 137)
    linear = apply_gain(ramp, Gain("linear"))
    np.testing.assert_allclose(linear, (ramp.astype(float) - 2000) / 1000, atol=2e-3)
    window = apply_gain(ramp, Gain("window", 2250, 2750))
    np.testing.assert_allclose(window, np.clip((ramp.astype(float) - 2250) / 500, 0, 1), atol=1e-5)


def test_a_plateau_shows_texture_beside_what_is_far_hotter():
    scene = thermal_scene()
    textured = np.s_[40:, 80:]
    linear, plateau = (apply_gain(scene, Gain(mode)) for mode in ("linear", "plateau"))
    assert plateau[textured].std() > 5 * linear[textured].std()
    assert plateau[20:26, 30:34].min() == pytest.approx(1.0, abs=0.01)  # the target stays the brightest


def test_a_plateau_never_has_less_than_a_share_of_the_linear_contrast():
    scene = thermal_scene()
    curve = find_mapping(scene, Gain("plateau")).curves[0, 0]
    assert (np.diff(curve) * (len(curve) - 1)).min() >= LINEAR_SHARE - 1e-3
    assert (curve[0], curve[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_the_noise_of_a_flat_wall_is_not_lifted_to_full_contrast(mode):
    counts = (8000 + np.random.default_rng(0).normal(0, 2, (96, 128))).astype(np.uint16)
    assert apply_gain(counts, Gain(mode)).std() < 0.12
    flat = np.full((96, 128), 8000, np.uint16)
    assert np.ptp(apply_gain(flat, Gain(mode))) < 1e-5


def test_colour_keeps_its_chroma_and_its_luma_is_mapped():
    rgb = np.random.default_rng(0).integers(100, 140, (40, 50, 3), np.uint16) * 64
    mapped = apply_gain(rgb, Gain("linear"))
    assert mapped.shape == rgb.shape
    luma = mapped @ np.array([0.299, 0.587, 0.114], np.float32)
    assert (luma.min(), luma.max()) == pytest.approx((0, 1), abs=0.01)
    assert np.ptp(mapped, axis=2).max() > 0
    assert apply_gain(rgb, Gain("off")) is rgb


def test_a_window_beside_the_picture_is_refused_with_both_ranges():
    with pytest.raises(FusionError, match=r"100\.\.200.*7\d{3}"):
        find_mapping(thermal_scene(), Gain("window", 100, 200))


def test_raw_counts_are_told_by_the_range_they_fill():
    assert is_raw(thermal_scene())
    assert not is_raw(thermal_scene().astype(np.float32))
    assert not is_raw(np.full((9, 9), 8000, np.uint16))
    assert not is_raw(np.random.default_rng(0).integers(0, 65536, (50, 50), np.uint16))


@pytest.mark.parametrize("mode", MODES)
def test_a_video_does_not_flicker_where_single_pictures_do(mode):
    """A hot object comes and goes: the background, mapped picture by picture, would jump."""
    frames = [thermal_scene(seed=i, hot=2000 if i % 2 else 6000) for i in range(12)]
    steady = SteadyGain(Gain(mode))
    background = np.s_[60:, :60]
    alone = [apply_gain(frame, Gain(mode))[background].mean() for frame in frames]
    followed = [steady(frame, i / 25)[background].mean() for i, frame in enumerate(frames)]
    jump = np.abs(np.diff(followed)).max()
    assert jump < 0.03
    assert jump < 0.5 * np.abs(np.diff(alone)).max() or np.abs(np.diff(alone)).max() < 0.02


def test_a_video_follows_its_scene_and_jumps_at_a_cut():
    steady = SteadyGain(Gain("linear"))
    cold, warm = thermal_scene(hot=1000), (thermal_scene(hot=1000) + 40)
    first = steady(cold, 0.0).mean()
    drift = [steady(warm, i / 25).mean() for i in range(1, 100)]
    assert drift[0] > first + 0.01  # warmer is brighter at first
    assert drift[-1] == pytest.approx(first, abs=2e-3)  # and the new normal after some seconds
    other = thermal_scene(hot=1000)[:, ::-1] + 3000
    np.testing.assert_allclose(steady(other, 5.0), apply_gain(other, Gain("linear")), atol=1e-6)


def test_mappings_of_other_kinds_are_not_mixed():
    linear, tiles = Mapping(0.0, 1.0), find_mapping(thermal_scene(), Gain("clahe"))
    assert linear.towards(tiles, 0.5) is tiles
    halfway = linear.towards(Mapping(2.0, 5.0), 0.5)
    assert (halfway.low, halfway.high) == (1.0, 3.0)
