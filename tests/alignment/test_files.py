import numpy as np
import pytest
from PIL import Image

from fsidfusion.alignment import files
from fsidfusion.alignment.files import align_by_points, align_files, field_of_view, read_points
from fsidfusion.alignment.transform import Alignment
from fsidfusion.cli import main
from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import Pair


def test_points_are_read_with_commas_blanks_and_remarks(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("# visible x, y, infrared x, y\n1, 2, 3, 4\n\n5 6 7.5 8  # a corner\n")
    visible, infrared = read_points(path)
    assert visible.tolist() == [[1, 2], [5, 6]]
    assert infrared.tolist() == [[3, 4], [7.5, 8]]


@pytest.mark.parametrize("line", ["1,2,3", "1,2,3,4,5", "x,y,u,v", "1,2,3,nan"])
def test_a_line_that_is_no_match_is_named(tmp_path, line):
    path = tmp_path / "points.csv"
    path.write_text(f"1,2,3,4\n{line}\n")
    with pytest.raises(FusionError, match="line 2"):
        read_points(path)
    with pytest.raises(FusionError, match="does not exist"):
        read_points(tmp_path / "none.csv")


def test_points_align_pictures_of_unequal_sizes(tmp_path):
    write_picture(tmp_path / "t.png", Picture(np.zeros((50, 60), np.uint8)))
    write_picture(tmp_path / "c.png", Picture(np.zeros((100, 120, 3), np.uint8)))
    (tmp_path / "points.csv").write_text("10,10,5,5\n110,10,55,5\n10,90,5,45\n")
    pair = Pair("t", tmp_path / "t.png", tmp_path / "c.png")
    alignment = align_by_points(pair, tmp_path / "points.csv")
    assert (alignment.visible_size, alignment.infrared_size) == ((100, 120), (50, 60))
    assert np.allclose(alignment.place(np.array([[60.0, 50.0]])), [[30, 25]])
    (tmp_path / "points.csv").write_text("10,10,5,5\n110,10,55,5\n")
    with pytest.raises(FusionError, match="2 matched points"):
        align_by_points(pair, tmp_path / "points.csv")


def test_the_field_of_view_comes_from_exif(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 36
    Image.new("RGB", (300, 200)).save(tmp_path / "with.jpg", exif=exif)
    Image.new("RGB", (300, 200)).save(tmp_path / "without.jpg")
    assert field_of_view(tmp_path / "with.jpg") == pytest.approx(2 * np.degrees(np.arctan(0.5)), abs=0.1)
    assert field_of_view(tmp_path / "without.jpg") is None
    assert field_of_view(tmp_path / "none.jpg") is None


def test_few_of_many_files_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(
        files, "estimate", lambda pictures, **options: (len(pictures), options["infrared_fov"])
    )
    write_picture(tmp_path / "ir.png", Picture(np.zeros((8, 9), np.uint8)))
    write_picture(tmp_path / "vis.png", Picture(np.ones((8, 9, 3), np.uint8)))
    pairs = [Pair(str(i), tmp_path / "ir.png", tmp_path / "vis.png") for i in range(100)]
    seen = []
    assert align_files(pairs, progress=seen.append) == (16, None)
    assert [pair.name for pair in seen] == [str(int(place * 6.25)) for place in range(16)]


def test_fields_of_view_of_both_files_tell_where_auto_looks(tmp_path, monkeypatch):
    seen = []

    def told(pairs, infrared_fov=None, visible_fov=None):
        seen.append((infrared_fov, visible_fov))
        sizes = [pixels.shape[:2] for pixels in pairs[0]]
        return Alignment(np.eye(3), sizes[1], sizes[0], "similarity", "edges")

    monkeypatch.setattr("fsidfusion.alignment.estimate.estimate", told)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    for name, focal in (("ir", 60), ("vis", 24), ("bare", 0)):
        exif = Image.Exif()
        if focal:
            exif.get_ifd(0x8769)[0xA405] = focal
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg", exif=exif)
    whole = ["--model", "maximum", "--align", "auto", "--overwrite", "-o", f"{tmp_path}/f.png"]
    for infrared, more in (("ir", []), ("bare", []), ("ir", ["--ir-crop", "48x48+0+0"])):
        files = ["--ir", f"{tmp_path}/{infrared}.jpg", "--vis", f"{tmp_path}/vis.jpg"]
        assert main(["fuse", *files, *whole, *more]) == 0
    across = 43.27 * 0.8 / 2  # millimetres of the film
    assert seen[0] == pytest.approx([2 * np.degrees(np.arctan(across / f)) for f in (60, 24)], abs=0.01)
    assert seen[1:] == [(None, None)] * 2  # of one side untold, or of a part of a picture
