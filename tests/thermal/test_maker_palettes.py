"""Palettes that look like those of the makers: none may be taken the wrong way round without a word."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.scene import Thermal, interpret

# colours at even steps, from cold to hot
MAKERS = {
    "iron": "00000a 14005a 6e0096 96009b b9148c d2325a e6501e f3730a fc9600 ffb90a ffd732 fff082 fffff0",
    "rainbow": "000046 0000a0 0028ff 008cff 00dcc8 00c850 50dc00 dcf000 ffb400 ff5a00 e60000 ff7878",
    "rainbow two": "000082 003ce6 00bef0 3ce68c c8f028 ffb400 fa4600 960000",
    "arctic": "0a0064 0a28dc 1478ff 3cd2f0 78bebe 6e8282 826e5a be7828 f0960a fac81e fffab4",
    "lava": "0a1446 003c6e 006e82 14786e 463c5a 821450 be0a28 e62814 fa6e0a ffbe14 fffab4",
    "red lava": "1e001e 780032 c81414 fa6e00 ffd21e ffffc8",
    "glowbow": "000000 3c0000 780a00 be2800 e65a00 fa9614 ffd25a ffffff",
    "graded fire": "000000 1e0a3c 5a0a6e aa143c e63c00 ff8c00 ffdc3c ffffdc",
    "ice and fire": "78e6ff 1e78dc 0a1e78 000014 3c000a aa140a f07814 fff078",
    "rain": "000000 32006e 003cb4 0096a0 1ebe3c b4dc00 faaa00 f03214 ffdcdc",
    "fusion one": "0f0f3c 321e82 821e8c d2325a fa6e28 ffbe28 fffabe",
    "fusion two": "000000 142850 286e78 5aa05a c8be3c fa8c28 f03c28 ffe6dc",
    "amber": "000000 462800 965a00 e6960a ffd26e fffae6",
    "sepia": "0a0500 50371e 96734b d7b98c fff5e1",
    "green": "000000 003c0a 00821e 3cc850 aaf0a0 f0fff0",
    "dark blue": "000014 001446 0a3c82 286ebe 78b4e6 e6f5ff",
    "hot iron": "000000 28003c 6e0050 b4143c eb4614 ff8c0a ffd246 ffffff",
    "iron red": "050028 320078 780082 be145a eb501e ffa00a ffe65a",
    "medical": "3c0050 6414aa 283cdc 0096dc 00c878 78dc28 f0dc14 fa8c14 e61e1e ffbebe",
    "fulgurite": "000000 2d0f0a 6e2d0f b45a19 e1963c f5d28c ffffff",
    "tyrian": "000000 14003c 1428a0 0082aa 14b45a 96c828 fabe1e ff6e28 f0286e ffe6ff",
    "yellow and blue": "000050 1e3c96 6e7882 beb450 fff03c",
    "cool": "00ffff ff00ff",
}
GOOD, WRONG = 0.93, 0.8  # rank correlations with the white-hot picture, through JPEG


def colours_of(words):
    points = np.array([tuple(bytes.fromhex(word)) for word in words.split()], float)
    place = np.linspace(0, 255, len(points))
    return np.rint(np.stack([np.interp(np.arange(256), place, each) for each in points.T], -1)).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def street():
    """A rendered infrared picture (240, 320) of a street at night, white-hot, from black to white."""
    shown = render_scene(2, (240, 320), time_of_day="night", smoke=False).infrared.astype(float)
    return ((shown - shown.min()) / np.ptp(shown) * 255).astype(np.uint8)


def read(rgb, street, quality=85):
    """The rank correlation of what is read with the truth, and the note."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality)
    scene = interpret(np.asarray(Image.open(stream)), Thermal(), "a.jpg")
    levels = scene.levels if scene.levels.ndim == 2 else scene.levels[..., 1]
    return float(spearmanr(levels[:, :280].ravel(), street[:, :280].ravel()).statistic), scene.note


@pytest.mark.parametrize("name", MAKERS)
def test_a_palette_like_a_makers_is_read_or_doubted(name, street):
    colours = colours_of(MAKERS[name])
    told, note = read(colours[street], street)
    assert told > GOOD or "may be dark" in note, (told, note)
    told, note = read(colours[255 - street], street)
    assert told > WRONG or "may be dark" in note, (told, note)


@pytest.mark.parametrize("name", MAKERS)
def test_a_bar_beside_it_never_makes_it_wrong(name, street):
    for colours in (colours_of(MAKERS[name]), colours_of(MAKERS[name])[::-1]):
        rgb = colours[street]
        rgb[40:200, 300:310] = colours[np.linspace(255, 0, 160).astype(int)][:, None]
        told, note = read(rgb, street)
        assert told > GOOD or "may be dark" in note, (told, note)


@pytest.mark.parametrize("hottest", [True, False])
def test_isotherms_are_read_or_doubted(hottest, street):
    rgb = np.repeat(street[..., None], 3, axis=2)
    marked = street >= np.percentile(street, 95) if hottest else street <= np.percentile(street, 8)
    rgb[marked] = (255, 60, 0) if hottest else (0, 80, 240)
    told, note = read(rgb, street)
    assert told > GOOD or "may be dark" in note, (told, note)
