"""One picture gives one result in every form of an array: byte order, strides, order, protection."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import fsidfusion
from fsidfusion import Fuser
from fsidfusion.alignment.estimate import estimate
from fsidfusion.metrics.table import METRICS
from fsidfusion.thermal.gain import apply_gain, parse_gain
from fsidfusion.thermal.scene import Thermal, interpret
from fsidfusion.thermal.validity import find_valid

CHANCE = np.random.default_rng(0)
INFRARED = CHANCE.integers(0, 256, (72, 96)).astype(np.float32)
VISIBLE = CHANCE.integers(0, 256, (72, 96, 3)).astype(np.float32)


def spread(array):
    wide = np.zeros((array.shape[0] * 2, array.shape[1] * 3, *array.shape[2:]), array.dtype)
    wide[::2, ::3] = array
    return wide[::2, ::3]


def protected(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


class Child(np.ndarray):
    """A subclass, as units and metadata libraries make them."""


FORMS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran order": np.asfortranarray,
    "from below": lambda a: a[::-1].copy()[::-1],
    "mirrored": lambda a: a[:, ::-1].copy()[:, ::-1],
    "spread": spread,
    "not to be written": protected,
    "a subclass": lambda a: a.view(Child),
}
TYPES = {
    "uint8": lambda a: a.astype(np.uint8),
    "uint16": lambda a: a.astype(np.uint16) * 257,
    "float32": lambda a: a / np.float32(255),
    "float64": lambda a: a.astype(np.float64) / 255,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("model", ["maximum", "fsidfusion-light"])
def test_fusing_and_scoring(form, kind, model):
    infrared, visible = TYPES[kind](INFRARED), TYPES[kind](VISIBLE)
    fuser = Fuser(model, runtime="torch")
    expected = fuser.fuse(infrared, visible)
    given = FORMS[form](infrared), FORMS[form](visible)
    found = fuser.fuse(*given)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    if model == "maximum":
        scores = fsidfusion.score(expected, infrared, visible)
        assert fsidfusion.score(FORMS[form](expected), *given) == scores


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.name}-{metric.convention}")
def test_metrics(metric):
    images = (VISIBLE[..., 1], INFRARED, VISIBLE[..., 0])[: 3 if metric.uses_sources else 1]
    expected = metric.function(*images)
    for name, form in FORMS.items():
        found = metric.function(*map(form, images))
        assert found == pytest.approx(expected, rel=1e-6, nan_ok=True), name


def test_alignment(scene, warped):
    pair = tuple(
        array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
        for array in (warped[0], scene.visible)
    )
    expected = estimate([pair]).matrix
    for form in ("big-endian", "spread"):
        np.testing.assert_allclose(estimate([tuple(map(FORMS[form], pair))]).matrix, expected, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_thermal_levels(form, kind):
    counts = (INFRARED * 11 + 7000).astype(kind)
    given = FORMS[form](counts)
    for name in ("plateau", "linear", "clahe", "window:7500..9000"):
        if kind == "uint16" or name == "linear":
            gain = parse_gain(name)
            np.testing.assert_array_equal(apply_gain(given, gain), apply_gain(counts, gain))
    np.testing.assert_array_equal(find_valid(given).of(given), find_valid(counts).of(counts))
    found, expected = (interpret(array, Thermal(unit="counts"), "x").levels for array in (given, counts))
    np.testing.assert_array_equal(found, expected)


def test_tensors_and_pil_images():
    infrared, visible = INFRARED.astype(np.uint8), VISIBLE.astype(np.uint8)
    expected = fsidfusion.fuse(infrared, visible, model="maximum")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (
            (torch.from_numpy(infrared), torch.from_numpy(visible)),
            (torch.from_numpy(infrared)[None], torch.from_numpy(visible).movedim(2, 0)),
            (Image.fromarray(infrared), Image.fromarray(visible)),
        ):
            np.testing.assert_array_equal(fsidfusion.fuse(*given, model="maximum"), expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), complex),
        np.zeros((4, 4), object),
        np.zeros((4, 4), "datetime64[s]"),
        np.zeros((4, 4), [("a", "u1")]),
        np.zeros((4, 4), "U3"),
        np.zeros((4, 4), bool),
        np.ma.masked_equal(np.zeros((4, 4)), 0),
        np.zeros((0, 4)),
        np.zeros((4, 4, 3, 1)),
        np.zeros(()),
        [[1, 2], [3, 4]],
        None,
        "picture.png",
    ],
    ids=lambda array: str(getattr(array, "dtype", type(array).__name__)),
)
def test_what_is_no_picture_is_refused_in_one_line(array):
    with pytest.raises(fsidfusion.InputError) as caught:
        fsidfusion.fuse(array, np.zeros((4, 4), np.uint8), model="maximum")
    assert len(str(caught.value).splitlines()) == 1
