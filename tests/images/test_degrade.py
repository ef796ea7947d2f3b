"""Degradations: their range, seeds and strengths, and the formulas that they stand for."""

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.images.degrade import DEGRADATIONS, INFRARED, clouds, degrade, veil


@pytest.fixture
def scene() -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.clip(rng.random((60, 80, 3)) * np.linspace(0.2, 1, 80)[None, :, None], 0, 1)


@pytest.mark.parametrize("kind", DEGRADATIONS)
@pytest.mark.parametrize("channels", [0, 3])
def test_keeps_shape_and_range_and_follows_its_seed(kind: str, channels: int, scene: np.ndarray) -> None:
    image = scene if channels else scene[..., 1]
    first = degrade(image, kind, 0.7, seed=1)
    assert first.shape == image.shape and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, degrade(image, kind, 0.7, seed=1))
    assert not np.array_equal(first, degrade(image, kind, 0.7, seed=2))


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_is_nothing_at_strength_zero_and_grows_with_it(kind: str, scene: np.ndarray) -> None:
    assert np.array_equal(degrade(scene, kind, 0), scene.astype(np.float32))
    changes = [float(np.abs(degrade(scene, kind, s) - scene).mean()) for s in (0.1, 0.4, 0.9)]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_haze_keeps_the_order_of_levels_in_a_row_and_loses_contrast_upwards() -> None:
    image = np.tile(np.linspace(0, 1, 90, dtype=np.float32), (60, 1))
    hazed = degrade(image, "haze", 0.8, seed=3)
    spread = hazed.std(axis=1)
    assert spread[:10].mean() < 0.7 * spread[-10:].mean()
    assert 0.05 < spread[0] / image[0].std() < 0.5
    assert hazed[0, 0] > 0.4  # black becomes airlight


def test_smoke_hides_some_places_and_leaves_others() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((120, 160)).astype(np.float32)
    smoked = degrade(image, "smoke", 1.0, seed=4)
    blocks = smoked.reshape(12, 10, 16, 10).std(axis=(1, 3))
    assert blocks.min() < 0.1 and blocks.max() > 0.25


def test_veil_is_the_law_of_koschmieder() -> None:
    scene, t, airlight = np.float32(0.3), np.float32(0.25), 0.8
    assert veil(scene, airlight, 1 - t) == pytest.approx(0.3 * 0.25 + 0.8 * 0.75)


def test_dark_scales_light_and_noise_has_the_stated_variance() -> None:
    flat = np.full((200, 200), 0.5, np.float32)
    darkened = degrade(flat, "dark", 0.5, seed=0)
    assert np.median(darkened) == pytest.approx(0.5 * 0.525 ** (1 / 2.2), abs=0.01)
    noisy = degrade(flat, "noise", 0.5, seed=0)
    assert noisy.std() == pytest.approx(np.sqrt(0.02 * 0.5 * 0.5 + 0.04**2), rel=0.05)


def test_stripes_are_of_columns_and_for_infrared() -> None:
    striped = degrade(np.full((50, 60), 0.5, np.float32), "stripes", 0.5)
    assert np.ptp(striped, axis=0).max() < 1e-6 and striped.std() > 0.01
    assert INFRARED == ("stripes",)


def test_clouds_span_0_to_1_at_any_size() -> None:
    for shape in ((1, 1), (3, 200), (64, 48)):
        noise = clouds(shape, np.random.default_rng(1), 0.5)
        assert noise.shape == shape and noise.min() >= 0 and noise.max() <= 1


@pytest.mark.parametrize(
    ("image", "kind", "strength", "told"),
    [
        (np.zeros((4, 4)), "rain", 0.5, "choose one of haze"),
        (np.zeros((4, 4)), "haze", 1.5, "expected 0"),
        (np.zeros((4, 4)), "haze", float("nan"), "expected 0"),
        (np.zeros((4, 4, 4)), "haze", 0.5, r"\(4, 4, 4\)"),
        (np.full((4, 4), 200), "haze", 0.5, "divide 8-bit levels"),
        (np.full((4, 4), np.nan), "haze", 0.5, "0..1"),
    ],
)
def test_refuses_what_it_cannot_do(image: np.ndarray, kind: str, strength: float, told: str) -> None:
    with pytest.raises(InputError, match=told):
        degrade(image, kind, strength)
