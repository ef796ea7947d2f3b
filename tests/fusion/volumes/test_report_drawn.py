"""The fused planes that a report draws in the browser, against those that Python writes."""

import numpy as np
import pytest

import browser
from fsidfusion import Fuser
from fsidfusion.fusion.uptake import apply_colormap, show_uptake
from fsidfusion.fusion.volumes.fuse import Options, fuse_volumes
from fsidfusion.fusion.volumes.grid import AXES, Volume, plane, to_display
from fsidfusion.fusion.volumes.report import Live, build_report
from fsidfusion.fusion.volumes.views import Shown, to_bytes
from fsidfusion.images.pixels import quantise
from volume_files import head, oblique

SHAPE = (20, 26, 12)
AFFINE = oblique()


def volumes(kind="pet"):
    """An MRI and another volume that is not a function of it."""
    mri = head(SHAPE, AFFINE)
    other = head(SHAPE, AFFINE, high=8.0, name=kind).voxels[::-1, ::-1].copy()
    if kind == "rgb":
        return mri, Volume(kind, apply_colormap(other / 8, "rainbow"), AFFINE)
    return mri, Volume(kind, other, AFFINE)


def fuse(mri, other, options=Options(), modality="pet", labels=None):
    model = None if options.style == "overlay" else Fuser(np.maximum, task="medical")
    return fuse_volumes(model, mri, other, modality, options, labels=labels)


def page_of(fused, path):
    shown = [
        Shown("MRI", fused.base, fused.base_level),
        Shown("other", fused.other, fused.level, fused.colormap),
        Shown("fused", fused.voxels),
    ]
    live = Live(fused.level_below, fused.colored, fused.outlines)
    path.write_text(build_report(shown, AFFINE, {}, [], b"", "axial", live=live))
    return path


@pytest.fixture(scope="module")
def driven():
    if browser.find() is None:
        pytest.skip("no chromium with chromedriver is installed")
    with browser.Browser() as page:
        yield page


@pytest.fixture
def show(driven, tmp_path):
    def show(fused):
        driven.open(page_of(fused, tmp_path / "report.html"))
        driven.run(
            "const whole = () => document.querySelectorAll('#choice button').length === 4;"
            "return new Promise(done => {"
            "  const poll = () => whole() ? done() : setTimeout(poll, 20); poll(); })"
        )
        return driven

    return show


def enter(page, label, value):
    """Set a slider or a choice by its label."""
    page.run(
        "const input = document.querySelector(`[aria-label='${arguments[0]}']`); input.value = arguments[1];"
        "input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input'))",
        label,
        value,
    )


def drawn(page, axis):
    """The fused plane through the middle, as the page shows it: (H, W, 3)."""
    height, width, values = page.run(
        "const canvas = document.querySelector(`canvas[aria-label='fused, ${arguments[0]}']`);"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return [canvas.height, canvas.width, [...pixels.data]]",
        axis,
    )
    return np.reshape(values, (height, width, 4))[..., :3].astype(int)


def written(voxels, axis):
    flat = np.asarray(to_bytes(voxels), int)
    flat = flat if flat.ndim == 4 else np.repeat(flat[..., None], 3, axis=3)
    turned = to_display(flat, AFFINE)
    return plane(turned, axis, turned.shape[AXES[axis]] // 2)


def off(page, voxels):
    """The largest difference of levels over the three planes."""
    return max(np.abs(drawn(page, axis) - written(voxels, axis)).max() for axis in AXES)


LABELS = np.zeros(SHAPE, np.float32)
LABELS[4:14, 5:18, 2:9] = 1
LABELS[8:12, 9:14, 4:8] = 7
KINDS = {
    "hot": ("pet", Options(), "pet"),
    "viridis": ("pet", Options(colormap="viridis"), "pet"),
    "a CT": ("ct", Options(), "ct"),
    "16 bits": ("ct", Options(bits=16), "ct"),
    "colours of its own": ("rgb", Options(), "pet"),
    "no colour": ("pet", Options(gray=True), "pet"),
    "overlay": ("pet", Options(style="overlay"), "pet"),
    "overlay of a CT": ("ct", Options(style="overlay"), "ct"),
    "overlay of colours": ("rgb", Options(style="overlay"), "pet"),
}


@pytest.mark.parametrize("labels", [None, Volume("labels", LABELS, AFFINE)], ids=["", "outlined"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_planes_are_those_of_the_file(show, kind, labels):
    other, options, modality = KINDS[kind]
    fused = fuse(*volumes(other), options, modality, labels)
    page = show(fused)
    assert np.ptp(written(fused.voxels, "axial")) > 100
    assert off(page, fused.voxels) <= 2
    assert page.console() == []
    assert page.run("return document.getElementById('changed').textContent") == ""


@pytest.mark.parametrize("colormap", ["hot", "rainbow"])
def test_a_window_of_the_uptake_acts_on_the_fused_planes(show, colormap):
    fused = fuse(*volumes(), Options(colormap=colormap))
    page = show(fused)
    enter(page, "other from", 40)
    enter(page, "other to", 170)
    uptake = np.clip((to_bytes(fused.other).astype(np.float32) - 40) / 130, 0, 1)
    below = fused.level_below.astype(np.float32) / 255

    def expected(colormap):
        flat = [values.reshape(SHAPE[0], -1) for values in (below, uptake)]
        colors = show_uptake(flat[0], apply_colormap(flat[1], colormap))
        return quantise(colors, np.dtype(np.uint8)).reshape(*SHAPE, 3)

    assert off(page, expected(colormap)) <= 2
    assert off(page, fused.voxels) > 30
    assert "Not as in the file" in page.run("return document.getElementById('changed').textContent")
    enter(page, "other colours", "plasma")
    assert off(page, expected("plasma")) <= 2
    page.run("document.querySelectorAll('.window button')[1].click()")
    assert off(page, fused.voxels) <= 2


def test_windows_of_both_act_on_an_overlay_as_on_one_that_is_made_with_them(show):
    mri, pet = volumes()
    page = show(fuse(mri, pet, Options(style="overlay", base_window="0..1000", window="0..8")))
    enter(page, "MRI from", 51)
    enter(page, "MRI to", 204)
    enter(page, "other to", 153)
    made = fuse(mri, pet, Options(style="overlay", base_window="200..800", window="0..4.8"))
    assert off(page, made.voxels) <= 4  # a step of the page is 5/3 of one of the file here


def test_a_window_of_the_mri_adds_its_change_to_the_fused_luma(show):
    fused = fuse(*volumes("ct"), modality="ct")
    page = show(fused)
    enter(page, "MRI to", 128)
    base = to_bytes(fused.base).astype(float)
    expected = np.clip(fused.voxels + np.clip(base / 128, 0, 1) * 255 - base, 0, 255)
    assert off(page, np.rint(expected).astype(np.uint8)) <= 2
    enter(page, "MRI to", 255)
    assert off(page, fused.voxels) <= 2


def test_the_opacity_of_the_colours(show):
    fused = fuse(*volumes())
    page = show(fused)
    enter(page, "opacity", 0)
    assert off(page, fused.level_below) <= 1
    enter(page, "opacity", 100)
    assert off(page, fused.voxels) <= 2


def test_checkerboard_and_edges_of_any_slice(show):
    mri, pet = volumes()
    pet.voxels[...] = 0
    pet.voxels[5:15, 6:20, 3:9] = 8
    fused = fuse(mri, pet)
    page = show(fused)
    enter(page, "last row", "checkerboard")
    board = drawn(page, "axial")
    ours = (board == written(fused.base, "axial")).all(-1)
    theirs = (board == written(apply_colormap(fused.other, "hot"), "axial")).all(-1)
    assert (ours | theirs).all() and 0.3 < ours.mean() < 0.9
    enter(page, "last row", "edges")
    edges = (drawn(page, "axial") == (255, 60, 60)).all(-1)
    inside = written(fused.other, "axial")[..., 0] > 128
    assert edges.any() and not edges[inside].all()
    rows, columns = np.nonzero(edges)
    tall, wide = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    assert abs(rows.min() - tall.min()) <= 1 and abs(rows.max() - tall.max()) <= 1
    assert abs(columns.min() - wide.min()) <= 1 and abs(columns.max() - wide.max()) <= 1
    assert (drawn(page, "axial")[~edges] == written(fused.base, "axial")[~edges]).all()


def test_the_right_button_moves_the_window_under_it(show):
    fused = fuse(*volumes())
    page = show(fused)
    ends = (
        "return ['MRI from', 'MRI to', 'other from', 'other to'].map(label =>"
        " Number(document.querySelector(`[aria-label='${label}']`).value))"
    )
    drag = (
        "const frame = document.querySelector(`canvas[aria-label='${arguments[0]}, axial']`).parentElement;"
        "frame.setPointerCapture = () => {};"
        "const send = (kind, x, y) => frame.dispatchEvent(new PointerEvent(kind, {bubbles: true, button: 2,"
        " buttons: 2, clientX: x, clientY: y}));"
        "send('pointerdown', 100, 100); send('pointermove', 60, 110)"
    )
    page.run(drag, "MRI")
    assert page.run(ends) == [25, 240, 0, 255]
    page.run(drag, "fused")  # moves the uptake's
    assert page.run(ends) == [25, 240, 25, 240]


def test_arrow_keys_over_a_plane_go_through_its_slices(show):
    page = show(fuse(*volumes()))
    page.run(
        "const cell = document.querySelector(`canvas[aria-label='fused, axial']`).closest('.cell');"
        "cell.dispatchEvent(new PointerEvent('pointerenter'));"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp', bubbles: true}))"
    )
    sliders = "return [...document.querySelectorAll('.sliders span')].map(s => s.textContent)"
    assert page.run(sliders)[0] == "axial 8 of 12"
