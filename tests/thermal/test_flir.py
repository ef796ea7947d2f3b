import io
import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from fsidfusion.errors import FusionError
from fsidfusion.images.files import write_picture
from fsidfusion.thermal.flir import Planck, Records, frames
from fsidfusion.thermal.reading import read_thermal, read_visible
from fsidfusion.thermal.scene import Thermal
from radiometric_files import (
    PLANCK,
    camera_record,
    fff,
    planck_counts,
    raw_record,
    warm_scene,
    write_flir,
)

SCENE = warm_scene((60, 80))


def png(values, is_swapped):
    """16-bit PNG of counts, with their two bytes in the order of FLIR, or in that of PNG."""
    done, content = cv2.imencode(".png", values.byteswap() if is_swapped else values)
    assert done
    return content.tobytes()


@pytest.mark.parametrize("directory", ["<", ">"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_temperatures_of_both_byte_orders(directory, order):
    counts = planck_counts(SCENE)
    records = Records(fff([(1, raw_record(counts, order)), (0x20, camera_record(order))], directory))
    np.testing.assert_array_equal(records.counts(), counts)
    np.testing.assert_allclose(records.planck().celsius(counts), SCENE, atol=0.02)


@pytest.mark.parametrize("is_swapped", [True, False])
def test_counts_that_are_stored_as_png(is_swapped):
    counts = planck_counts(SCENE)
    block = fff([(1, raw_record(counts, body=png(counts, is_swapped))), (0x20, camera_record())])
    np.testing.assert_array_equal(Records(block).counts(), counts)


def test_air_and_surroundings_are_taken_off():
    """A warm body whose emissivity is 0.9, in surroundings of 20 C, through clear air."""
    constants = {**PLANCK, "o": float(PLANCK["o"])}
    plain = Planck(**constants)
    body = planck_counts(np.full((2, 2), 80.0)).astype(np.float64)
    around = planck_counts(np.full((2, 2), 20.0)).astype(np.float64)
    seen = np.rint(0.9 * body + 0.1 * around).astype(np.uint16)
    assert plain.celsius(seen).max() < 76
    right = Planck(**constants, emissivity=0.9, reflected=293.15, distance=5.0)
    np.testing.assert_allclose(right.celsius(seen), 80.0, atol=0.02)
    damp = Planck(
        **constants, distance=100.0, alpha=(0.0066, 0.0126), beta=(-0.0023, -0.0067), x=1.9, humidity=0.5
    )
    far = damp.celsius(planck_counts(np.full((2, 2), 80.0)))
    assert 81 < far.min() < 95  # air took a part, and what it adds is cooler
    assert np.isnan(Planck(**{**constants, "o": -60000.0}).celsius(seen)).all()


def test_files_without_constants_hold_counts(tmp_path):
    block = fff([(1, raw_record(planck_counts(SCENE))), (0x20, bytes(2108))], "<")
    path = write_flir(tmp_path / "xt.jpg", np.full((60, 80, 3), 9, np.uint8), block)
    reading = read_thermal(path)
    assert reading.scene.celsius is None
    np.testing.assert_array_equal(reading.scene.levels, planck_counts(SCENE))
    assert "without temperatures" in reading.note
    with pytest.raises(FusionError, match="no temperatures"):
        read_thermal(path, Thermal(highlight="30C"))


def test_an_fff_file_is_an_infrared_picture(tmp_path):
    (tmp_path / "a.fff").write_bytes(fff([(1, raw_record(planck_counts(SCENE))), (0x20, camera_record())]))
    reading = read_thermal(tmp_path / "a.fff", Thermal(highlight="30C"), temperature=True)
    np.testing.assert_allclose(reading.scene.temperatures, SCENE, atol=0.02)
    assert reading.picture.pixels[20, 25] > 0.8
    (tmp_path / "b.fff").write_bytes(b"FFF\0" + bytes(80))
    with pytest.raises(FusionError, match=r"b\.fff is damaged"):
        read_thermal(tmp_path / "b.fff")


def test_a_recording_is_blocks_one_after_the_other():
    blocks = [
        fff(
            [
                (1, raw_record(planck_counts(SCENE + step))),
                (0x20, camera_record(seconds=1_700_000_000 + step)),
            ]
        )
        for step in range(3)
    ]
    found = list(frames(b"lead" + b"gap".join(blocks)))
    assert [record.seconds() for record in found] == [1_700_000_000.25 + step for step in range(3)]
    assert found[0].rate() == 9
    for step, records in enumerate(found):
        np.testing.assert_array_equal(records.counts(), planck_counts(SCENE + step))


def test_jpeg_ls_of_recordings():
    av = pytest.importorskip("av")
    counts = planck_counts(SCENE)
    try:
        encoder = av.CodecContext.create("jpegls", "w")
    except ValueError:
        pytest.skip("this FFmpeg writes no JPEG-LS")
    encoder.width, encoder.height, encoder.pix_fmt = 80, 60, "gray16le"
    encoder.time_base = Fraction(1, 25)
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(counts, "gray16le")), *encoder.encode(None)]
    block = fff([(1, raw_record(counts, body=bytes(packets[0])))])
    np.testing.assert_array_equal(Records(block).counts(), counts)
    with pytest.raises(ValueError, match="JPEG-LS"):
        Records(fff([(1, raw_record(counts[:50], body=bytes(packets[0])))])).counts()


@pytest.mark.parametrize(
    "block",
    [
        b"FFF\0" + bytes(99),
        fff([(1, raw_record(np.ones((9, 9), np.uint16))[:60])]),
        fff([(1, raw_record(np.ones((9, 9), np.uint16), body=b"\x89PNG nothing"))]),
        fff([(0x20, camera_record())]),
        b"PNG\0" + bytes(99),
    ],
)
def test_damaged_blocks_are_told(block):
    with pytest.raises((ValueError, struct.error)):
        Records(block).counts()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_embedded_picture_has_its_colours_and_its_place(tmp_path, kind):
    """Of PNG the planes are Y, Cb, Cr; the offset is in visible pixels, also where these are many."""
    visible = np.full((240, 320, 3), (40, 90, 170), np.uint8)
    visible[100:140, 170:230] = (200, 60, 40)  # around the thermal centre, 40 to the right of the visible one
    stream = io.BytesIO()
    if kind == "PNG":
        planes = cv2.cvtColor(visible, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
        Image.fromarray(planes).save(stream, "PNG")
    else:
        Image.fromarray(visible).save(stream, "JPEG", quality=98, subsampling=0)
    embedded = struct.pack("<HHH", 2, 320, 240).ljust(32, b"\0") + stream.getvalue()
    place = struct.pack("<fhh", 2.0, 40, 0).ljust(28, b"\0")
    records = [
        (1, raw_record(planck_counts(SCENE))),
        (0x20, camera_record()),
        (0x0E, embedded),
        (0x2A, place),
    ]
    path = write_flir(tmp_path / "a.jpg", np.full((120, 160, 3), 90, np.uint8), fff(records))
    shown = read_visible(path).pixels
    assert shown.shape == (120, 160, 3)
    centre = shown[50:70, 70:90].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(centre, (200, 60, 40), atol=6)
    np.testing.assert_allclose(shown[20:30, 20:30].reshape(-1, 3).mean(0), (40, 90, 170), atol=6)
    warm = np.flatnonzero(np.abs(shown[60].astype(int) - (200, 60, 40)).sum(-1) < 60)
    assert abs((warm[0] + warm[-1]) / 2 - 79.5) <= 1


def test_files_without_a_visible_picture_say_so(tmp_path):
    block = fff([(1, raw_record(planck_counts(SCENE))), (0x20, camera_record())])
    path = write_flir(tmp_path / "a.jpg", np.full((60, 80, 3), 9, np.uint8), block)
    with pytest.raises(FusionError, match="no visible picture"):
        read_visible(path)
    write_picture(tmp_path / "b.jpg", read_thermal(path, Thermal(agc="off")).picture)
    with pytest.raises(FusionError, match="embeds no visible picture"):
        read_visible(tmp_path / "b.jpg")


@pytest.mark.parametrize("kind", ["BMP", "EPS", "TIFF", "GIF"])
def test_an_embedded_picture_of_another_kind_is_not_opened(kind):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(stream, kind)
    embedded = struct.pack("<HHH", 2, 32, 24).ljust(32, b"\0") + stream.getvalue()
    with pytest.raises(ValueError, match="visible picture"):
        Records(fff([(0x0E, embedded)])).embedded()


def test_counts_in_a_png_of_another_size_are_not_decoded():
    body = cv2.imencode(".png", np.zeros((600, 800), np.uint16))[1].tobytes()
    with pytest.raises(ValueError, match="of another size"):
        Records(fff([(0x01, raw_record(np.zeros((60, 80), np.uint16), body=body))])).counts()
