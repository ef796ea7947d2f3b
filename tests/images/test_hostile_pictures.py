"""Pictures that are made to loop, to burst, to lie or that lack a part: refused in one line, and soon."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from fsidfusion.errors import InputError, is_installed
from fsidfusion.images.files import Picture, decode_picture, read_header, read_picture, write_picture
from memory_peak import growth_below

PIXELS = np.random.default_rng(0).integers(1, 255, (64, 64), dtype=np.uint8)


def tiff(entries, image=b"", following=0):
    """A classic little-endian TIFF of one directory; the value None stands for the place of the image."""
    place = 8 + 2 + 12 * len(entries) + 4
    block = b"".join(
        struct.pack("<HHII", tag, 4, 1, place if value is None else value) for tag, value in entries
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + block + struct.pack("<I", following) + image


def grid(bits=8, compression=1, rows=64, count=None, height=64, width=64):
    count = width * rows * bits // 8 if count is None else count
    head = [(256, width), (257, height), (258, bits), (259, compression), (262, 1)]
    return [*head, (273, None), (277, 1), (278, rows), (279, count)]


def png(rows, height=64, depth=8, interlaced=0, end=True):
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    lines = b"".join(b"\0" + bytes([200]) * (64 * depth // 8) for _ in range(rows))
    head = struct.pack(">IIBBBBB", 64, height, depth, 0, 0, 0, interlaced)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"") if end else b""
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rle_bmp(width, height):
    rows = b"\x40\x64\0\0" * 48 + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + palette + rows


def chain(pages, last=0):
    step = 2 + 24 + 4
    one = [
        struct.pack("<HHHIIHHIII", 2, 256, 4, 1, 64, 257, 4, 1, 64, 8 + (page + 1) * step)
        for page in range(pages)
    ]
    one[-1] = one[-1][:-4] + struct.pack("<I", last)
    return b"II*\0" + struct.pack("<I", 8) + b"".join(one)


def of_size(kind, mark, place, form, side=20_000):
    """A small picture whose header claims a large one."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    content = bytearray(stream.getvalue())
    struct.pack_into(form, content, content.index(mark) + place, side, side)
    return bytes(content)


BOMB = zlib.compress(bytes(64 << 20), 9)
HOSTILE = {
    "directories in a circle": (chain(3, last=8), "tif", "circle"),
    "a directory that points to itself": (chain(1, last=8), "tif", "circle"),
    "very many directories": (chain(20_000), "tif", "over 10000 directories"),
    "sizes given twice": (tiff([*grid(), (256, 20_000), (257, 20_000)], PIXELS.tobytes()), "tif", "twice"),
    "height zero": (tiff(grid(height=0), PIXELS.tobytes()), "tif", "height is 0"),
    "one strip of many": (tiff(grid(rows=16, height=4096), PIXELS.tobytes()), "tif", "1 of its 256 strips"),
    "a strip that ends early": (tiff(grid(count=100), PIXELS.tobytes()), "tif", "100 of 4096 bytes"),
    "a strip outside": (tiff(grid(), PIXELS.tobytes()[:-1]), "tif", "end early"),
    "a deflated strip that ends early": (
        tiff(grid(8, 8, count=len(short := zlib.compress(PIXELS.tobytes()[:1000]))), short),
        "tif",
        "1000 of 4096",
    ),
    "a bomb of 8 bits": (tiff(grid(8, 8, count=len(BOMB)), BOMB), "tif", "unpacks to more"),
    "a bomb of 16 bits": (tiff(grid(16, 8, count=len(BOMB)), BOMB), "tif", "unpacks to more"),
    "PNG with 10 of 64 rows": (png(10), "png", "650 of 4160 bytes"),
    "PNG of 16 bits with 10 of 64 rows": (png(10, depth=16), "png", "end early"),
    "PNG without its end": (png(64, end=False), "png", "damaged"),
    "PNG interlaced with too few rows": (png(10, interlaced=1), "png", "damaged"),
    "run lengths for a huge BMP": (rle_bmp(20_000, 20_000), "bmp", "cannot hold"),
    "a huge PNG of nothing": (png(1, height=6_000_000), "png", "cannot hold"),
    "a huge JPEG of nothing": (of_size("JPEG", b"\xff\xc0", 5, ">HH"), "jpg", "cannot hold"),
    "a huge GIF of nothing": (of_size("GIF", b"GIF8", 6, "<HH"), "gif", "cannot hold"),
    "PNG over the limit": (png(1, height=60_000_000), "png", "the limit is 500"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pictures_are_refused_in_one_line(case, tmp_path):
    content, extension, reason = HOSTILE[case]
    path = tmp_path / f"x.{extension}"
    path.write_bytes(content)
    with growth_below(50 << 20), pytest.raises(InputError, match=reason) as caught:
        decode_picture(path)
    assert len(str(caught.value).splitlines()) == 1


def test_what_the_hostile_ones_are_made_from_is_read(tmp_path):
    for name, content in {
        "plain.tif": tiff(grid(), PIXELS.tobytes()),
        "packed.tif": tiff(grid(8, 8, count=len(whole := zlib.compress(PIXELS.tobytes()))), whole),
    }.items():
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, PIXELS)
    (tmp_path / "a.png").write_bytes(png(64))
    assert (read_picture(tmp_path / "a.png").pixels == 200).all()
    (tmp_path / "a.bmp").write_bytes(rle_bmp(64, 48))
    assert (read_picture(tmp_path / "a.bmp").pixels == 100).all()


@pytest.mark.parametrize("interlaced", [False, True])
def test_black_rows_that_are_there_are_read(tmp_path, interlaced):
    black = np.zeros((48, 64), np.uint8)
    path = tmp_path / "black.png"
    if interlaced:
        flat = Image.fromarray(black).convert("P")
        path.write_bytes(_adam7(flat))
    else:
        Image.fromarray(black).save(path)
    assert not read_picture(path).pixels.any()


def _adam7(flat):
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    grid_ = np.asarray(flat)
    lines = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in steps for row in grid_[y::dy, x::dx])
    stream = io.BytesIO()
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ):
        crc = zlib.crc32(kind + content)
        stream.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc))
    return b"\x89PNG\r\n\x1a\n" + stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_with_a_new_end_behind_half_of_it_is_refused(tmp_path, mode):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    path, whole = tmp_path / "x.jpg", stream.getvalue()
    path.write_bytes(whole)
    assert read_picture(path).size == (64, 96)
    for share in (3, 5, 9):
        path.write_bytes(whole[: len(whole) * share // 10] + b"\xff\xd9")
        with pytest.raises(InputError, match="end early"):
            read_picture(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_mid_gray_in_its_last_corner_is_read(tmp_path, progressive):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    pixels[40:, 40:] = 128
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=95, progressive=progressive)
    assert read_picture(tmp_path / "x.jpg").pixels[-1, -1].tolist() == [128, 128, 128]


def test_every_flipped_bit_of_the_pixels_of_a_png_is_noticed(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG")
    whole, path = stream.getvalue(), tmp_path / "x.png"
    start = whole.index(b"IDAT")
    for place in range(start, len(whole) - 12, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError):
            read_picture(path)


@pytest.mark.parametrize("extension", ["tif", "webp", "png", "jpg", "bmp"])
def test_our_limit_of_pixels_stands_and_not_that_of_the_library(tmp_path, monkeypatch, extension):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # of Pillow, for the process
    path = tmp_path / f"x.{extension}"
    write_picture(path, Picture(PIXELS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path).size == (64, 64)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(InputError, match="the limit is"):
        read_header(path, max_pixels=64 * 63)


def test_a_pipe_is_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match="pipe"):
        read_header(tmp_path / "x.png")


def test_a_compression_that_is_not_read_is_no_damage(tmp_path):
    path = tmp_path / "z.tif"
    tifffile.imwrite(path, PIXELS.astype(np.uint16))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[259].overwrite(50000)  # Zstandard
    found = "damaged" if is_installed("imagecodecs") else "compression that is not read here"
    with pytest.raises(InputError, match=found):
        read_picture(path)
