"""EXIF through real files: what is kept, what is dropped, and no picture turned twice."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.exif import add_to_tiff, carried, carried_xmp, read_block
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.thermal.temperature import read_temperature, write_temperature

MAIN = {270: "a street", 271: "Maker", 272: "Model X", 305: "Firmware 1", 306: "2024:05:06 07:08:09"}
EXIF = {33434: 0.02, 36867: "2024:05:06 07:08:09", 37386: 50.0, 42036: "a lens"}
GPS = {1: "N", 2: (52.0, 30.0, 1.25), 3: "E", 4: (13.0, 22.0, 2.5), 29: "2024:05:06"}
EXTENSIONS = [(".jpg", 8), (".png", 8), (".png", 16), (".webp", 8), (".tif", 8), (".tif", 16)]


def source_exif(orientation=1):
    exif = Image.Exif()
    exif.update(MAIN)
    exif[274] = orientation
    exif[34665] = EXIF | {37500: b"maker's own notes" * 9, 40962: 50}
    exif[34853] = GPS
    return read_block(exif.tobytes())


def with_thumbnail(block):
    """A second directory behind a block, as cameras use it for thumbnails: here its compression alone."""
    order = ">" if block[6:8] == b"MM" else "<"
    (count,) = struct.unpack_from(f"{order}H", block, 6 + 8)
    place = 6 + 8 + 2 + 12 * count
    second = struct.pack(f"{order}HHHIHHI", 1, 259, 3, 1, 6, 0, 0)
    return block[:place] + struct.pack(f"{order}I", len(block) - 6) + block[place + 4 :] + second


def tags_of(path):
    """As others read the file."""
    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        return dict(exif), exif.get_ifd(34665), exif.get_ifd(34853)


def check_kept(path):
    main, exif, gps = tags_of(path)
    assert {tag: main.get(tag) for tag in MAIN} == MAIN
    assert {tag: exif.get(tag) for tag in EXIF} == EXIF
    assert gps == GPS
    assert main.get(274, 1) == 1
    assert not {37500, 40962} & exif.keys()


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.mark.parametrize("extension, bits", EXTENSIONS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_every_format_keeps_time_place_and_camera(tmp_path, extension, bits, channels):
    pixels = noise((20, 30, *channels), np.uint8 if bits == 8 else np.uint16)
    path = tmp_path / f"a{extension}"
    assert write_picture(path, Picture(pixels, exif=carried(source_exif()))) == ""
    if not (bits == 16 and extension == ".tif" and channels):  # which Pillow does not open
        check_kept(path)
    read = read_picture(path)
    if extension != ".jpg":
        np.testing.assert_array_equal(read.pixels, pixels)
    again = read_block(read.exif)
    assert again.get_ifd(34853) == GPS
    assert {tag: again.get(tag) for tag in MAIN} == MAIN


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("output", ["f.jpg", "f.tif", "f.png", "f.webp"])
def test_a_fused_file_keeps_the_exif_of_the_visible_and_is_turned_once(tmp_path, orientation, output):
    stored = np.kron(noise((3, 2, 3)), np.ones((16, 16, 1), np.uint8))
    image = Image.fromarray(stored)
    exif = source_exif(orientation)
    image.save(tmp_path / "vis.jpg", exif=exif, quality=98, subsampling=0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "vis.jpg")))
    write_picture(tmp_path / "ir.png", Picture(np.zeros(upright.shape[:2], np.uint8)))
    pair = Pair("a", tmp_path / "ir.png", tmp_path / "vis.jpg")
    (outcome,) = fuse_pairs(Fuser("maximum", range="none"), [pair], [tmp_path / output], Plan())
    assert (outcome.status, outcome.message) == ("fused", "")
    check_kept(tmp_path / output)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / output)))
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < 3


def test_thumbnails_are_dropped(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(noise((20, 30, 3))).save(stream, "JPEG", exif=with_thumbnail(source_exif().tobytes()))
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    assert Image.open(tmp_path / "a.jpg").getexif().get_ifd(ExifTags.IFD.IFD1)
    block = read_picture(tmp_path / "a.jpg").exif
    assert not read_block(block).get_ifd(ExifTags.IFD.IFD1)


def test_a_picture_without_exif_stays_without(tmp_path):
    write_picture(tmp_path / "a.jpg", Picture(noise((20, 30, 3))))
    assert read_picture(tmp_path / "a.jpg").exif is None
    assert carried(Image.Exif()) is None
    only_turned = Image.Exif()
    only_turned[274] = 6
    assert carried(only_turned) is None


def test_a_damaged_block_does_not_stop_a_picture(tmp_path):
    broken = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02\0\xff\xff\xff\x0f\xff\xff\xff\xff"
    stream = io.BytesIO()
    Image.fromarray(noise((20, 30, 3))).save(stream, "JPEG", exif=broken)
    (tmp_path / "a.jpg").write_bytes(stream.getvalue())
    assert read_picture(tmp_path / "a.jpg").size == (20, 30)


def test_long_values_and_long_blocks_are_dropped():
    exif = source_exif()
    exif[34665] = EXIF | {37510: b"x" * 5000}
    exif = read_block(exif.tobytes())
    assert 37510 not in read_block(carried(exif)).get_ifd(34665)
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    assert carried(exif) is None


def test_only_a_classic_tiff_is_added_to():
    with pytest.raises(ValueError, match="TIFF"):
        add_to_tiff(io.BytesIO(b"MM\0*\0\0\0\x08" + bytes(20)), carried(source_exif()))


XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description tiff:Orientation="6"'
    b' xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:GimbalYawDegree="+12.3"'
    b' drone-dji:RtkFlag="50"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@pytest.mark.parametrize("has_exif", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_gimbal_and_place_of_drones_are_carried(tmp_path, extension, bits, has_exif):
    if bits == 16 and extension in (".jpg", ".webp"):
        pytest.skip("holds 8 bits")
    source = Image.new("RGB", (30, 20), (90, 140, 60))
    source.save(tmp_path / "a.jpg", xmp=XMP, **({"exif": source_exif()} if has_exif else {}))
    picture = read_picture(tmp_path / "a.jpg")
    if bits == 16:
        picture = replace(picture, pixels=np.full((30, 20, 3), 40_000, np.uint16))
    assert b"GimbalYawDegree" in picture.xmp
    assert b"Orientation" not in picture.xmp
    write_picture(tmp_path / f"b{extension}", picture)
    back = read_picture(tmp_path / f"b{extension}")
    assert np.abs(back.pixels.astype(int) - picture.pixels).max() <= 1
    assert back.xmp == picture.xmp
    assert back.exif is not None or not has_exif


def test_a_file_of_temperatures_has_them_too(tmp_path):
    celsius = np.linspace(10, 40, 48, dtype=np.float32).reshape(6, 8)
    write_temperature(tmp_path / "t.tif", celsius, carried(source_exif()), XMP)
    np.testing.assert_array_equal(read_temperature(tmp_path / "t.tif"), celsius)
    kept = Image.open(tmp_path / "t.tif").getexif()
    assert bytes(kept[700]) == XMP
    assert kept.get_ifd(0x8825) == source_exif().get_ifd(0x8825)


def test_blocks_that_are_no_xmp_are_left_behind():
    for block in (None, b"", b"text", b"<x:xmpmeta" + bytes(70_000), b"<x:xmpmeta HasExtendedXMP"):
        assert carried_xmp(block) is None
