"""Colour over anatomy tells the uptake: whatever lies below, for every map, in volumes and in pictures."""

from typing import get_args

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from fsidfusion import Fuser
from fsidfusion.errors import InputError
from fsidfusion.fusion.color import render
from fsidfusion.fusion.pipeline import Fusion, Pipeline
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.uptake import (
    Colormap,
    apply_colormap,
    color_table,
    has_colors,
    overlay_uptake,
    show_uptake,
)
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range

COLORED = [name for name in get_args(Colormap) if name != "gray"]
LEVELS = np.linspace(0, 1, 6, dtype=np.float32)
RAMP = np.linspace(0, 1, 101, dtype=np.float32)


def lab(colors):
    """CIE L*a*b* of (N, 3) sRGB in 0..1."""
    pixels = np.ascontiguousarray(colors, np.float32)[None]
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0].astype(np.float64)


def told(colors, palette):
    """How well 101 colours tell the uptake 0..1: least distance of quarters, rank of the nearest."""
    ours, theirs = lab(colors), lab(palette / 255)
    apart = np.linalg.norm(ours[:, None] - ours[None], axis=-1)
    least = min(apart[i, j] for i in range(101) for j in range(i + 25, 101))
    nearest = np.argmin(np.linalg.norm(ours[:, None] - theirs[None], axis=-1), axis=1)
    return least, spearmanr(nearest, RAMP)[0]


@pytest.mark.parametrize("colormap", COLORED)
@pytest.mark.parametrize("level", LEVELS)
def test_the_same_uptake_is_told_at_every_level(colormap, level):
    """Below is bright anatomy alone, or whatever is brighter, as a model fuses: never black under uptake."""
    palette = color_table(colormap)
    colors = apply_colormap(RAMP, colormap)[None]
    for below in (np.full_like(RAMP, max(level, 0.3)), np.maximum(0.7 * RAMP, level)):
        least, rank = told(show_uptake(below[None], colors)[0], palette)
        assert least > 10 and rank > 0.8
    least, rank = told(overlay_uptake(np.full((1, 101), level), RAMP[None], colors)[0], palette)
    assert least > 10 and rank > 0.8


def test_carrying_the_chroma_alone_tells_nothing_on_white():
    """What this module is for."""
    colors = apply_colormap(RAMP, "hot")[None]
    carried = render(np.ones((1, 101), np.float32), Range(0, 1), colors, np.dtype(np.float32))
    assert np.ptp(lab(carried[0]), axis=0).max() < 1


@pytest.mark.parametrize("colormap", COLORED)
def test_anatomy_shows_through_every_colour(colormap):
    for uptake in (0.0, 0.3, 0.6, 1.0):
        colors = np.broadcast_to(apply_colormap(np.float32(uptake), colormap), (1, 6, 3))
        luma = show_uptake(LEVELS[None], colors)[0] @ [0.299, 0.587, 0.114]
        assert (np.diff(luma) > 0.06).all()


def test_maps_begin_in_black_and_do_not_end_in_white():
    for name in COLORED:
        table = color_table(name)
        assert table.shape == (256, 3) and table.dtype == np.uint8
        assert table[0].tolist() == [0, 0, 0]
        assert table[-1].min() < 200
    assert color_table("hot")[-1].tolist() == [255, 255, 0]
    assert color_table("rainbow")[-1].tolist() == [255, 0, 0]
    assert np.array_equal(color_table("gray")[:, 1], np.arange(256))
    with pytest.raises(InputError, match="colour map 'jet' is unknown; choose one of hot, rainbow"):
        color_table("jet")


@pytest.mark.parametrize("colormap", ["viridis", "plasma", "inferno", "magma"])
def test_uniform_maps_are_uniform(colormap):
    """Equal steps of uptake are alike steps of colour, once the map has left black."""
    steps = np.linalg.norm(np.diff(lab(color_table(colormap)[26::10] / 255), axis=0), axis=1)
    assert steps.max() < 3 * steps.min()
    lightness = lab(color_table(colormap) / 255)[:, 0]
    assert (np.diff(lightness[26:]) > -0.5).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_depth(dtype):
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    colors = np.array([[[1, 0.5, 0], [0, 0, 0]]]) * scale
    shown = show_uptake(np.array([[0.5, 0.5]], np.float32), colors.astype(dtype))
    assert np.allclose(shown, [[[0.6625, 0.41875, 0.175], [0.25, 0.25, 0.25]]], atol=0.003)


def test_pictures_in_colour_keep_their_order_on_a_bright_mri():
    """PET as an atlas gives it, as a colour picture: the same rule, through the same pipeline."""
    fuser = Fuser(np.maximum, task="medical", range="none")
    for name in ("hot", "rainbow"):
        pet = np.repeat(apply_colormap(RAMP, name)[None], 4, axis=0)
        for level in (0, 128, 255):
            fused = fuser.fuse(mri=np.full((4, 101), level, np.uint8), pet=pet)
            least, rank = told(fused[0] / 255, color_table(name))
            assert least > 10 and rank > 0.8


def test_a_ct_in_three_equal_channels_is_no_uptake():
    fuser = Fuser(np.maximum, task="medical", range="none")
    gray = np.random.default_rng(0).integers(0, 256, (8, 9, 1), np.uint8).repeat(3, axis=2)
    mri = np.full((8, 9), 100, np.uint8)
    assert np.array_equal(fuser.fuse(mri=mri, ct=gray)[..., 0], np.maximum(gray[..., 0], 100))
    traces = gray.astype(int) + np.random.default_rng(1).integers(-4, 5, gray.shape)  # as JPEG leaves them
    assert not has_colors(np.clip(traces, 0, 255).astype(np.uint8))
    assert not has_colors(gray[..., 0])
    gray[2, 3] = 255, 0, 0
    assert has_colors(gray)


def test_a_plain_overlay_of_pictures():
    """Without the model: the MRI at half its brightness without uptake, and the order of colours."""
    fuser = Fuser(lambda first, second: first * 0, task="medical")
    pet = np.repeat(apply_colormap(RAMP, "hot")[None], 4, axis=0)
    mri = np.full((4, 101), 200, np.uint8)
    fusion = Fusion(Picture(pet), Picture(mri))
    Pipeline(fuser, Plan(task="medical", style="overlay"))(fusion)
    fused = fusion.result.pixels
    assert fused[0, 0].tolist() == [100, 100, 100]
    least, rank = told(fused[0] / 255, color_table("hot"))
    assert least > 10 and rank > 0.8
    fusion = Fusion(Picture(pet[..., 0]), Picture(mri))
    Pipeline(fuser, Plan(task="medical", style="overlay"))(fusion)
    assert fusion.result.pixels.shape == mri.shape
    with pytest.raises(InputError, match="sizes differ"):
        Pipeline(fuser, Plan(task="medical", style="overlay"))(Fusion(Picture(pet[:2]), Picture(mri)))
    with pytest.raises(InputError, match="is for medical pairs"):
        Plan(style="overlay")
