"""The slice scroller in a real browser."""

import numpy as np
import pytest

import browser
from fsidfusion.fusion.volumes.grid import plane, to_display
from fsidfusion.fusion.volumes.report import build_report
from fsidfusion.fusion.volumes.views import Shown, to_bytes
from fsidfusion.fusion.volumes.windows import Level
from volume_files import head

SHAPE = (20, 30, 10)


@pytest.fixture(scope="module")
def fused():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


@pytest.fixture(scope="module")
def page(fused, tmp_path_factory):
    if browser.find() is None:
        pytest.skip("no chromium with chromedriver is installed")
    volume = head(SHAPE, np.diag([1.0, 1, 3, 1]))
    path = tmp_path_factory.mktemp("page") / "report.html"
    values = volume.voxels / volume.voxels.max()
    volumes = [
        Shown("MRI", values, Level(0, 1000)),
        Shown("PET", values[::-1].copy(), Level(0, 8, "SUVbw"), "viridis"),
        Shown("fused", fused),
    ]
    path.write_text(build_report(volumes, volume.affine, {}, [], b"", "coronal"))
    with browser.Browser() as driven:
        driven.open(path)
        driven.run(  # unpacking ends after the page has loaded
            "const whole = () => document.querySelectorAll('#choice button').length === 4;"
            "return new Promise(done => {"
            "  const poll = () => whole() ? done() : setTimeout(poll, 20); poll(); })"
        )
        yield driven


def labels(page):
    return page.run("return [...document.querySelectorAll('.sliders span')].map(s => s.textContent)")


def test_the_planes_show_the_voxels(page, fused):
    """Every canvas holds the slice that Python shows, pixel by pixel, after the slider was moved."""
    assert labels(page) == ["coronal 16 of 30", "axial 6 of 10", "sagittal 11 of 20"]
    script = (
        "const [name, value] = arguments; const inputs = [...document.querySelectorAll('.sliders input')];"
        "const input = inputs.find(i => i.parentElement.textContent.startsWith(name)); input.value = value;"
        "input.dispatchEvent(new Event('input'));"
        "const canvas = document.querySelector(`canvas[aria-label='fused, ${name}']`);"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return [canvas.height, canvas.width, [...pixels.data]]"
    )
    shown = to_display(fused, np.eye(4))
    for name, index in (("axial", 2), ("coronal", 25), ("sagittal", 4)):
        height, width, pixels = page.run(script, name, index)
        picture = np.reshape(pixels, (height, width, 4))
        assert np.array_equal(picture[..., :3], plane(shown, name, index))
    assert page.console() == []
    assert page.run("return performance.getEntriesByType('resource').length") == 0


def test_pressing_on_a_plane_moves_the_others(page):
    box = page.run(
        "const b = document.querySelector(`canvas[aria-label='MRI, axial']`).getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]"
    )
    spot = (box[0] + box[2] * 0.26, box[1] + box[3] * 0.76)
    page.drag(spot, spot)
    assert labels(page)[0] == "coronal 23 of 30"
    assert labels(page)[2] == "sagittal 6 of 20"


def test_one_volume_can_be_chosen(page):
    page.run("document.querySelectorAll('#choice button')[3].click()")
    rows = page.run(
        "return [...document.querySelectorAll('.row')].map(r => r.getBoundingClientRect().height > 0)"
    )
    assert rows == [False, False, True]
    page.run("document.querySelectorAll('#choice button')[0].click()")


def pixels(page, label):
    height, width, values = page.run(
        "const canvas = document.querySelector(`canvas[aria-label='${arguments[0]}, axial']`);"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return [canvas.height, canvas.width, [...pixels.data]]",
        label,
    )
    return np.reshape(values, (height, width, 4))[..., :3]


def move_to(page, label, x, y):
    """Put the cursor on a pixel of an axial plane."""
    page.run(
        "const [label, x, y] = arguments;"
        "const canvas = document.querySelector(`canvas[aria-label='${label}, axial']`);"
        "const box = canvas.getBoundingClientRect();"
        "canvas.dispatchEvent(new PointerEvent('pointermove', {bubbles: true,"
        " clientX: box.x + (x + 0.5) * box.width / canvas.width,"
        " clientY: box.y + (y + 0.5) * box.height / canvas.height}))",
        label,
        x,
        y,
    )
    return page.run("return document.getElementById('cursor').textContent")


def shown_slice(page):
    return int(page.run("return document.querySelectorAll('.sliders input')[1].value"))


def test_colours_follow_the_map_and_the_window(page):
    values = head(SHAPE).voxels[::-1]
    flat = plane(to_display(to_bytes(values / values.max()), np.eye(4)), "axial", shown_slice(page))
    table = Shown("", values, None, "viridis").table
    assert np.array_equal(pixels(page, "PET"), table[flat])
    page.run(
        "const input = document.querySelector(`input[aria-label='PET to']`); input.value = 127;"
        "input.dispatchEvent(new Event('input'))"
    )
    narrowed = table[np.rint(np.clip(flat / 127, 0, 1) * 255).astype(int)].astype(int)
    assert np.abs(pixels(page, "PET") - narrowed).max() <= 8
    ticks = (
        "const box = document.querySelectorAll('.window')[1];"
        "return [...box.querySelectorAll('.ticks span')].map(s => s.textContent)"
    )
    assert page.run(ticks) == ["0", "1.992", "3.984"]
    page.run("document.querySelectorAll('.window button')[1].click()")
    assert np.array_equal(pixels(page, "PET"), table[flat])
    assert page.run(ticks) == ["0", "4", "8"]


def test_the_values_at_the_cursor_are_told_with_their_unit(page):
    values = head(SHAPE).voxels
    k = shown_slice(page)
    text = move_to(page, "fused", 7, 12)
    turned = to_display(values / values.max(), np.eye(4))
    mri = round(float(turned[7, 12, k]) * 255) / 255 * 1000
    pet = round(float(to_display(values[::-1] / values.max(), np.eye(4))[7, 12, k]) * 255) / 255 * 8
    assert text.startswith("R 12.0  A 17.0  S ")  # voxel 19 - 7 to the right, 29 - 12 to the front
    assert f"MRI {float(f'{mri:.4g}'):g}" in text and f"PET {float(f'{pet:.4g}'):g} SUVbw" in text


def test_the_wheel_goes_through_the_slices(page):
    before = shown_slice(page)
    page.run(
        "const canvas = document.querySelector(`canvas[aria-label='MRI, axial']`);"
        "canvas.dispatchEvent(new WheelEvent('wheel', {bubbles: true, cancelable: true,"
        " deltaMode: 1, deltaY: 1}))"
    )
    assert shown_slice(page) == before + 1
