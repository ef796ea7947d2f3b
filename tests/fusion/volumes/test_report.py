"""The slice scroller in a real browser."""

import numpy as np
import pytest

import browser
from fsidfusion.fusion.volumes.grid import plane, to_display
from fsidfusion.fusion.volumes.report import build_report
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
    volumes = {"MRI": volume.voxels / volume.voxels.max(), "PET": fused, "fused": fused}
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
