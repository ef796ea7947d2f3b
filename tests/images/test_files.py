import errno
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from fsidfusion.errors import FusionError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.encode import encode_picture, output_bits, output_format
from fsidfusion.images.files import Picture, is_lossy_webp, read_header, read_picture, write_picture
from fsidfusion.images.pixels import is_gray

LOSSLESS = [(".png", 8), (".png", 16), (".tif", 8), (".tiff", 16), (".bmp", 8), (".webp", 8)]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(shape, bits=8, seed=0):
    dtype = {8: np.uint8, 16: np.uint16}[bits]
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype)


@st.composite
def pictures(draw):
    extension, bits = draw(st.sampled_from(LOSSLESS))
    opaque = extension == ".bmp"
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    colour, alpha = draw(st.booleans()), draw(st.booleans()) and not opaque
    seed = draw(st.integers(0, 99))
    pixels = noise((*size, 3) if colour else size, bits, seed)
    return extension, Picture(pixels, noise(size, bits, seed + 1) if alpha else None)


@given(pictures())
def test_what_is_written_is_read_again(tmp_path_factory, case):
    extension, picture = case
    path = tmp_path_factory.mktemp("round") / f"a{extension}"
    assert write_picture(path, picture) == ""
    read = read_picture(path)
    if picture.alpha is not None and picture.pixels.ndim < read.pixels.ndim:  # deep PNG: no gray with alpha
        assert is_gray(read.pixels)
        read = Picture(read.pixels[..., 0], read.alpha)
    np.testing.assert_array_equal(read.pixels, picture.pixels)
    assert read.pixels.dtype == picture.pixels.dtype
    assert (read.alpha is None) == (picture.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(read.alpha, picture.alpha)
    header = read_header(path)
    assert (header.height, header.width) == picture.size
    assert header.bits == 8 * picture.pixels.dtype.itemsize


def test_bmp_says_that_it_drops_transparency(tmp_path):
    picture = Picture(noise((9, 7, 3)), noise((9, 7)))
    assert "BMP holds no transparency" in write_picture(tmp_path / "a.bmp", picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp").pixels, picture.pixels)


def test_jpeg_is_close_and_says_that_it_drops_transparency(tmp_path):
    ramp = np.linspace(0, 255, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    note = write_picture(tmp_path / "a.jpg", Picture(ramp, ramp[..., 0]))
    assert "transparency" in note
    read = read_picture(tmp_path / "a.jpg")
    assert read.alpha is None
    assert np.abs(read.pixels.astype(int) - ramp).mean() < 2


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (9, 7, 4)])
def test_16_bits_written_by_others_are_not_reduced(tmp_path, extension, shape):
    samples = noise(shape, 16)
    cv2.imwrite(str(tmp_path / f"a{extension}"), samples)  # TIFF: LZW, which tifffile alone does not read
    picture = read_picture(tmp_path / f"a{extension}")
    expected = samples if len(shape) == 2 else samples[..., 2::-1]
    np.testing.assert_array_equal(picture.pixels, expected)
    assert (picture.alpha is not None) == (shape[-1] == 4)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
def test_tiff_of_every_layout(tmp_path, byteorder, layout, compression):
    if compression == "packbits":  # only Pillow writes it here
        samples = noise((9, 7, 3))
        Image.fromarray(samples).save(tmp_path / "a.tif", compression="packbits")
    else:
        samples = noise((9, 7, 3), 16)
        planes = samples if layout == "contig" else np.moveaxis(samples, -1, 0)
        options = {"photometric": "rgb", "planarconfig": layout, "compression": compression}
        tifffile.imwrite(tmp_path / "a.tif", planes, byteorder=byteorder, **options)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, samples)


def test_tiff_where_white_is_zero(tmp_path):
    samples = noise((9, 7), 16)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, 65535 - samples)


def test_floating_tiff_is_read_as_it_is(tmp_path):
    samples = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", samples)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, samples)
    assert read_header(tmp_path / "a.tif").bits == 32


@pytest.mark.parametrize("value, words", [(np.nan, "NaN"), (255.0, "0..1"), (-0.1, "0..1")])
def test_floats_out_of_range_are_refused(tmp_path, value, words):
    samples = np.full((4, 4), 0.5, np.float32)
    samples[1, 2] = value
    tifffile.imwrite(tmp_path / "a.tif", samples)
    with pytest.raises(FusionError, match=words):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension, bits", [*LOSSLESS[:4], (".webp", 8), (".jpg", 8), ("lzw.tif", 16)])
def test_exif_orientation_is_applied(tmp_path, orientation, extension, bits):
    stored = np.kron(noise((3, 2, 3), bits), np.ones((16, 16, 1), noise(1, bits).dtype))
    path = tmp_path / f"a{extension}"
    exif = Image.Exif()
    exif[274] = orientation
    if path.suffix in (".tif", ".tiff") and extension != "lzw.tif":
        tifffile.imwrite(path, stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    elif extension == "lzw.tif":  # what goes to OpenCV
        stored = stored[..., 0]
        Image.fromarray(stored).save(path, compression="tiff_lzw", tiffinfo={274: orientation})
    elif bits == 16:
        content = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
        chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(content[:33] + chunk + content[33:])
    else:
        options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}
        Image.fromarray(stored).save(path, exif=exif, **options.get(extension, {}))
    eight = Image.fromarray((stored >> (bits - 8)).astype(np.uint8))
    eight.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(eight))
    picture = read_picture(path)
    header = read_header(path)
    assert (header.height, header.width) == picture.size == expected.shape[:2]
    difference = (picture.pixels >> (bits - 8)).astype(int) - expected
    assert np.abs(difference).max() <= (3 if extension == ".jpg" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_of_pillow(tmp_path, mode):
    original = Image.fromarray(noise((9, 7, 4 if mode in ("LA", "RGBA") else 3))).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    original.save(path)
    picture = read_picture(path)
    with_alpha = mode in ("LA", "RGBA")
    expected = np.asarray(original.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    np.testing.assert_array_equal(picture.pixels, expected)
    assert (picture.alpha is not None) == with_alpha


def test_gray_webp_is_gray(tmp_path):
    gray = noise((9, 7))
    Image.fromarray(gray).convert("RGB").save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.webp").pixels, gray)


@pytest.mark.parametrize("extension, bits", [*LOSSLESS[:4], (".webp", 8), (".jpg", 8)])
def test_colour_profile_is_kept(tmp_path, extension, bits):
    write_picture(tmp_path / f"a{extension}", Picture(noise((9, 7, 3), bits), None, PROFILE))
    assert read_picture(tmp_path / f"a{extension}").profile == PROFILE


def encoded(extension, bits=8):
    stream = io.BytesIO()
    if bits == 16:
        return cv2.imencode(extension, noise((60, 50, 3), 16))[1].tobytes()
    names = {".jpg": "JPEG", ".tif": "TIFF"}
    Image.fromarray(noise((60, 50, 3))).save(stream, names.get(extension, extension[1:].upper()))
    return stream.getvalue()


@given(st.sampled_from([*LOSSLESS, (".jpg", 8)]), st.floats(0.001, 0.97))
def test_cut_files_are_refused_in_one_line(tmp_path_factory, case, share):
    extension, bits = case
    content = encoded(".tif" if extension == ".tiff" else extension, bits)
    path = tmp_path_factory.mktemp("cut") / f"a{extension}"
    path.write_bytes(content[: max(1, int(len(content) * share))])
    with pytest.raises(FusionError) as error:
        read_picture(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_with_a_wrong_byte_is_refused(tmp_path, bits):
    content = bytearray(encoded(".png", bits))
    content[len(content) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FusionError, match="damaged"):
        read_picture(tmp_path / "a.png")


def test_what_is_no_picture(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture at all, but long enough to look at")
    frames = [Image.fromarray(noise((9, 7, 3), seed=i)) for i in range(2)]
    for name in ("film.png", "film.webp", "stack.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((4, 4), np.int64))
    cases = {
        "absent.png": "does not exist",
        ".": "folder",
        "empty.png": "0 bytes",
        "text.png": "PNG, JPEG, BMP, TIFF or WebP",
        "film.png": "animation of 2",
        "film.webp": "animation of 2",
        "stack.tif": "stack of 2",
        "wide.tif": "64-bit",
    }
    for name, words in cases.items():
        with pytest.raises(FusionError, match=words) as error:
            read_picture(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


def test_a_bomb_is_refused_by_its_header(tmp_path):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(FusionError, match=r"100000x100000.*limit is 500 megapixels"):
        read_picture(tmp_path / "bomb.png")


def test_the_limit_of_pixels_is_adjustable_for_every_format(tmp_path):
    for extension, bits in [*LOSSLESS, (".jpg", 8)]:
        path = tmp_path / f"a{extension}"
        write_picture(path, Picture(noise((20, 30), bits)))
        assert read_picture(path, max_pixels=600).size == (20, 30)
        with pytest.raises(FusionError, match="30x20"):
            read_header(path, max_pixels=599)


def test_formats_say_what_they_cannot_hold(tmp_path):
    with pytest.raises(FusionError, match="JPEG cannot hold 16 bits"):
        write_picture(tmp_path / "a.jpg", Picture(noise((4, 4), 16)))
    with pytest.raises(FusionError, match="extension"):
        write_picture(tmp_path / "a.gif", Picture(noise((4, 4))))
    with pytest.raises(FusionError, match="16383"):
        output_format(Path("a.webp"), 10, 20_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, bits, source, expected, noted",
    [
        ("a.png", "auto", 8, 8, False),
        ("a.png", "auto", 16, 16, False),
        ("a.tif", "auto", 32, 16, False),
        ("a.jpg", "auto", 16, 8, True),
        ("a.png", "8", 16, 8, False),
        ("a.png", "16", 8, 16, False),
    ],
)
def test_depth_of_the_output(name, bits, source, expected, noted):
    chosen, note = output_bits(Path(name), bits, source)
    assert (chosen, bool(note)) == (expected, noted)


@pytest.mark.parametrize("extension, bits", [*LOSSLESS, (".jpg", 8)])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, extension, bits):
    path = tmp_path / f"a{extension}"
    path.write_bytes(b"the old one")

    def replace(self, target):
        assert self.stat().st_size > 0
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(FusionError, match="No space left"):
        write_picture(path, Picture(noise((40, 50, 3), bits)))
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_block_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.bin") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file size limits are set as Linux does")
def test_a_full_disk_leaves_nothing(tmp_path):
    limited = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, write_picture
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for name, dtype in (("a.png", "u1"), ("b.png", "u2"), ("c.tif", "u1"), ("d.tif", "u2"), ("e.bmp", "u1"),
                    ("f.webp", "u1"), ("g.jpg", "u1")):
    try:
        pixels = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(dtype)
        write_picture(Path(sys.argv[1], name), Picture(pixels))
    except FusionError as error:
        print(error)
"""
    command = [sys.executable, "-c", limited, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert [Path(line.split()[0]).stem for line in lines] == list("abcdefg")
    assert all("cannot be written" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_missing_folders_are_made_and_impossible_ones_refused(tmp_path):
    write_picture(tmp_path / "x" / "y" / "a.png", Picture(noise((4, 4))))
    assert (tmp_path / "x" / "y" / "a.png").exists()
    (tmp_path / "file").touch()
    with pytest.raises(FusionError, match="cannot be written"):
        write_picture(tmp_path / "file" / "a.png", Picture(noise((4, 4))))


def test_the_real_sets_are_read_as_pillow_reads_them(data_root):
    for path in (data_root / "test/RoadScene/vi/FLIR_00211.jpg", data_root / "test/MRI_PET/PET/11.webp"):
        np.testing.assert_array_equal(read_picture(path).pixels, np.asarray(Image.open(path).convert("RGB")))


def test_webp_says_whether_it_lost_something(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)
    kinds = (("a", True, "RGB"), ("b", False, "RGB"), ("c", False, "RGBA"), ("d", True, "RGBA"))
    for name, lossless, mode in kinds:
        Image.fromarray(rgb).convert(mode).save(tmp_path / f"{name}.webp", lossless=lossless)
        assert is_lossy_webp(tmp_path / f"{name}.webp") is not lossless
    Image.fromarray(rgb).save(tmp_path / "e.png")
    assert not is_lossy_webp(tmp_path / "e.png")


def test_a_gif_is_read_and_not_written(tmp_path):
    """As an atlas gives slices: a palette of grays is gray, one of colours RGB; an animation is refused."""
    levels = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    Image.fromarray(levels).save(tmp_path / "gray.gif")
    assert np.array_equal(read_picture(tmp_path / "gray.gif").pixels, levels)
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[:3, :, 0], colours[3:, :, 1] = 255, 128
    Image.fromarray(colours).save(tmp_path / "colour.gif")
    assert np.array_equal(read_picture(tmp_path / "colour.gif").pixels, colours)
    frames = [Image.fromarray(levels), Image.fromarray(255 - levels)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(FusionError, match="an animation of 2 pictures"):
        read_picture(tmp_path / "moving.gif")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is of Linux")
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG", "WebP", "BMP"])
def test_every_encoder_names_a_full_disk(name, bits):
    if bits == 16 and name not in ("PNG", "TIFF"):
        return
    dtype = np.uint8 if bits == 8 else np.uint16
    noise = np.random.default_rng(0).integers(0, 1 << bits, (400, 500, 3)).astype(dtype)
    with Path("/dev/full").open("r+b", buffering=0) as stream, pytest.raises(OSError) as caught:
        encode_picture(stream, Picture(noise), name)
    assert caught.value.errno == errno.ENOSPC
