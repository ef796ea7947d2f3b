import cv2
import numpy as np
import pytest
import tifffile

from fsidfusion.errors import FusionError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.plan import Plan
from fsidfusion.thermal.palettes import colour
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import ThermalStream, read_frame
from radiometric_files import centikelvin, warm_scene, write_dji


def test_8_bit_frames_pass_as_they_are():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    stream = ThermalStream(Thermal(), "ir.mp4")
    for i in range(3):
        shown, hot = stream(frame, i / 25)
        assert shown is frame
        assert hot is None


def test_the_first_frame_settles_unit_and_palette():
    stream = ThermalStream(Thermal(highlight="30C"), "ir")
    shown, celsius = stream(centikelvin(warm_scene()), 0.0)
    assert "plateau" in stream.note
    assert (shown.dtype, celsius.max()) == (np.float32, pytest.approx(37.0, abs=0.01))
    _, extreme = stream(centikelvin(warm_scene(target=200.0)), 0.04)  # beyond what is guessed
    assert extreme.max() == pytest.approx(200.0, abs=0.01)
    coloured = ThermalStream(Thermal(), "ir")
    np.testing.assert_array_equal(coloured(colour(LEVELS, "ironbow"), 0.0)[0], LEVELS)
    dark = colour((LEVELS // 24).astype(np.uint8), "ironbow")  # hardly coloured by itself
    np.testing.assert_array_equal(coloured(dark, 0.04)[0], LEVELS // 24)


LEVELS = np.tile(np.arange(64, 192, dtype=np.uint8), (40, 1))


def shown_by(frames, thermal=None):
    """What a stream shows of frames, where it shows something, and its note."""
    stream = ThermalStream(thermal or Thermal(), "ir")
    shown = []
    for index, frame in enumerate(frames):
        pixels = stream(frame, index / 25)[0]
        known = stream.known
        shown.append(None if known is not None and not known.any() else pixels)
    return shown, stream.note


def counts_of(seed):
    scene = warm_scene() + np.random.default_rng(seed).normal(0, 0.05, (48, 64))
    return (7000 + 40 * scene).astype(np.uint16)


@pytest.mark.parametrize("name", ["zero", "even", "sun"])
def test_odd_first_frames_settle_nothing(name):
    clean = [counts_of(seed) for seed in range(8)]
    first = {"zero": np.zeros_like(clean[0]), "even": np.full_like(clean[0], 8000), "sun": clean[0].copy()}[
        name
    ]
    if name == "sun":
        first[:6, :9] = 65535
    wanted = shown_by(clean)[0]
    shown, note = shown_by([first, first, *clean[2:]])
    assert "plateau" in note
    for mine, theirs in zip(shown[2:], wanted[2:]):
        np.testing.assert_allclose(mine, theirs, atol=0.06)
    if name == "sun":
        assert "saturated" in note
    else:
        assert shown[:2] == [None, None]
        assert "2 frames show nothing" in note


def test_an_even_frame_in_between_moves_no_gain():
    clean = [counts_of(seed) for seed in range(6)]
    wanted = shown_by(clean)[0]
    shown, _ = shown_by([*clean[:3], np.full_like(clean[0], 9000), *clean[4:]])
    assert shown[3] is None
    np.testing.assert_allclose(shown[4], wanted[4], atol=0.06)


def test_frames_that_do_not_fit_for_long_are_settled_anew():
    full = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (48, 1))
    stream = ThermalStream(Thermal(), "ir")
    for index in range(4):
        assert stream(full, index / 25)[0].dtype == np.uint16
    for index in range(4, 10):
        shown = stream(counts_of(0), index / 25)[0]
    assert shown.dtype == np.float32
    assert shown[12:38, 22:30].mean() > 0.8
    assert "from 0.3 s on: raw counts" in stream.note


@pytest.mark.parametrize(
    "before, after", [("ironbow", "rainbow"), ("ironbow", None), (None, "ironbow"), ("lava", None)]
)
def test_a_change_of_palette_is_followed(before, after):
    def drawn(name):
        return np.repeat(LEVELS[..., None], 3, axis=2) if name is None else colour(LEVELS, name)

    shown, note = shown_by([drawn(before)] * 3 + [drawn(after)] * 3)
    for levels in shown:
        assert np.abs(levels.astype(int) - LEVELS).max() <= 2
    assert f"from 0.1 s on the palette is another one: {after or 'gray'}" in note


def test_black_lead_in_says_nothing_of_the_palette():
    shown, note = shown_by([np.zeros((40, 128, 3), np.uint8)] * 2 + [colour(LEVELS, "ironbow")] * 2)
    assert shown[:2] == [None, None]
    np.testing.assert_array_equal(shown[3], LEVELS)
    assert "false colours (ironbow" in note


def test_black_and_white_that_are_exchanged_are_turned_back():
    shown, note = shown_by([LEVELS, LEVELS, 255 - LEVELS, 255 - LEVELS, LEVELS])
    for levels in shown:
        np.testing.assert_array_equal(levels, LEVELS)
    assert "from 0.1 s on black and white are exchanged" in note


def test_a_cut_to_another_scene_is_no_exchange():
    dark_sky = np.tile(np.linspace(10, 120, 96).astype(np.uint8)[:, None], (1, 128))
    bright_roof = np.tile(np.linspace(200, 90, 96).astype(np.uint8)[:, None], (1, 128))
    shown, note = shown_by([dark_sky, dark_sky, bright_roof, bright_roof])
    np.testing.assert_array_equal(shown[3], bright_roof)
    assert "exchanged" not in note


def test_a_colour_bar_of_a_gray_video_tells_its_polarity():
    noise = np.random.default_rng(0).normal(0, 1, (240, 320)).astype(np.float32)
    scene = cv2.GaussianBlur(noise, (0, 0), 15)
    scene = ((scene - scene.min()) / np.ptp(scene) * 170 + 20).astype(np.uint8)
    frame = 255 - scene
    frame[40:200, 300:308] = np.linspace(0, 255, 160).astype(np.uint8)[:, None]  # black at its top
    for pixels in (frame, np.repeat(frame[..., None], 3, axis=2)):
        stream = ThermalStream(Thermal(), "ir")
        for index in range(3):
            shown = stream(pixels, index / 25)[0]
            np.testing.assert_array_equal(shown[:, :290], scene[:, :290])
            assert not stream.known[60:180, 302:306].any()
        assert "black is hot by it" in stream.note


def test_percent_is_steady_while_a_hot_object_comes():
    stream = ThermalStream(Thermal(highlight="80%", agc="linear"), "ir")
    stream((7000 + 100 * warm_scene()).astype(np.uint16), 0.0)
    _, before = stream((7000 + 100 * warm_scene()).astype(np.uint16), 0.04)
    _, after = stream((7000 + 100 * warm_scene(target=90)).astype(np.uint16), 0.08)
    assert stream.threshold.value == 0.8
    assert np.abs(after[:, 40:] - before[:, 40:]).max() < 0.25


def test_what_does_not_fit_the_frames_is_named():
    counts = (7000 + 100 * warm_scene()).astype(np.uint16)
    for thermal, words in (
        (Thermal(agc="window:20..40C"), "cam 0 holds no temperatures.*`agc`"),
        (Thermal(highlight="35C"), "cam 0 holds no temperatures.*`highlight`"),
        (Thermal(agc="window:1..2"), "cam 0: window"),
    ):
        with pytest.raises(FusionError, match=words):
            ThermalStream(thermal, "cam 0")(counts, 0.0)


def test_frames_of_radiometric_and_floating_files(tmp_path):
    counts = (18000 + 100 * warm_scene((200, 250))).astype(np.uint16)
    np.testing.assert_array_equal(read_frame(write_dji(tmp_path / "a.jpg", counts), Thermal()), counts)
    tifffile.imwrite(tmp_path / "t.tif", warm_scene())
    celsius = read_frame(tmp_path / "t.tif", Thermal(unit="celsius"))
    assert celsius.dtype == np.float32
    shown, _ = ThermalStream(Thermal(unit="celsius", agc="window:0..50C"), "t")(celsius, 0.0)
    np.testing.assert_allclose(shown, warm_scene() / 50, atol=1e-5)
    tifffile.imwrite(tmp_path / "u.tif", np.full((4, 5), 0.5, np.float32))
    assert read_frame(tmp_path / "u.tif", Thermal()).dtype == np.uint16


def test_a_video_of_temperatures_is_steady_and_shows_what_is_hot(tmp_path):
    """Pictures in centikelvin; in every second one something far hotter stands at the edge."""
    av = pytest.importorskip("av")
    from fsidfusion.fusion.video import fuse_video

    for i in range(8):
        celsius = warm_scene()
        celsius[:4, :4] = 120 if i % 2 else 40
        tifffile.imwrite(tmp_path / f"ir_{i}.tif", centikelvin(celsius))
        tifffile.imwrite(tmp_path / f"vis_{i}.tif", np.full((48, 64, 3), 60, np.uint8), photometric="rgb")
    sources = (str(tmp_path / "ir_*.tif"), str(tmp_path / "vis_*.tif"))
    fuser = Fuser("maximum", range="none")
    summary = fuse_video(
        *sources, tmp_path / "f.mkv", plan=Plan(thermal=Thermal(highlight="36C")), fuser=fuser
    )
    assert "plateau" in summary.note
    with av.open(str(tmp_path / "f.mkv")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    person, wall = np.s_[18:32, 24:28], np.s_[20:40, 44:60]
    assert all(frame[person][..., 0].mean() > frame[person][..., 2].mean() + 60 for frame in frames)
    assert all(np.ptp(frame[wall].mean(axis=(0, 1))) < 8 for frame in frames)  # gray: nothing is hot
    assert np.abs(np.diff([frame[wall].mean() for frame in frames])).max() < 8
    with pytest.raises(FusionError, match="no temperatures"):
        thermal = Thermal(unit="counts", agc="window:20..40C")
        fuse_video(*sources, tmp_path / "g.mkv", plan=Plan(thermal=thermal), fuser=fuser)
    assert not list(tmp_path.glob("*g.mkv*")) + list(tmp_path.glob(".fsidfusion*"))
