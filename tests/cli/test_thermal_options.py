"""Thermal options of the command line, once as a real process."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from fsidfusion.cli import main
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pixels import luma
from fsidfusion.thermal.reading import read_visible

SOURCE = Path(__file__).resolve().parents[2] / "src"


def celsius(person=37.0, size=(48, 64)):
    warm = np.tile(np.linspace(15, 22, size[1]), (size[0], 1))
    warm[10:40, 20:32] = person
    return warm


def centikelvin(degrees):
    return np.rint((degrees + 273.15) * 100).astype(np.uint16)


@pytest.fixture
def pair(tmp_path):
    """Centikelvin beside a larger visible picture with a place and a time."""
    tifffile.imwrite(tmp_path / "ir.tif", centikelvin(celsius()))
    exif = Image.Exif()
    exif[306] = "2024:05:06 07:08:09"
    exif[34853] = {1: "N", 2: (52.0, 30.0, 1.25)}
    Image.new("RGB", (128, 96), (60, 70, 80)).save(tmp_path / "vis.jpg", exif=exif)
    return tmp_path


def fuse(folder, *arguments, output="f.jpg"):
    files = ["--ir", f"{folder}/ir.tif", "--vis", f"{folder}/vis.jpg", "-o", f"{folder}/{output}"]
    return main(["fuse", *files, "--model", "maximum", "--resize", *map(str, arguments)])


def test_one_process_gives_picture_temperatures_and_hot_targets(pair):
    command = [sys.executable, "-m", "fsidfusion", "fuse", "--model", "maximum", "--resize"]
    command += ["--ir", str(pair / "ir.tif"), "--vis", str(pair / "vis.jpg"), "-o", str(pair / "f.jpg")]
    command += ["--agc", "window:10..40C", "--highlight", "35C", "--temperature", str(pair / "t.tif")]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert "reduced from 16" in result.stderr
    degrees = tifffile.imread(pair / "t.tif")
    assert (degrees.shape, degrees.dtype) == ((96, 128), np.float32)
    assert degrees[50, 50] == pytest.approx(37, abs=0.01)
    fused = read_picture(pair / "f.jpg").pixels.astype(int)
    person, wall = fused[30:70, 46:58], fused[:, 80:]
    assert (person[..., 0] - person[..., 2]).min() > 40  # as much as so bright a pixel holds
    assert (wall[..., 0] - wall[..., 2]).max() < 30
    with Image.open(pair / "f.jpg") as image:
        assert image.getexif()[306] == "2024:05:06 07:08:09"
        assert image.getexif().get_ifd(34853)[2] == (52.0, 30.0, 1.25)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--agc", "bright"], "'bright' is unknown"),
        (["--agc", "window:40..20C"], "not above its start"),
        (["--agc", "window:100..200C"], "lies outside the picture, which holds 15..37 C"),
        (["--agc", "window:20..40C", "--unit", "counts"], "holds no temperatures"),
        (["--highlight", "hot"], "35C"),
        (["--palette", "sunset"], "ironbow"),
        (["--agc-vis", "window:1..2C"], "not for visible pictures"),
        (["--temperature", "t.png"], "only TIFF"),
        (["--temperature", "ir.tif", "--overwrite"], "also an input"),
        (["--temperature", "t.tif", "--unit", "counts"], "holds no temperatures"),
    ],
)
def test_wrong_units_and_windows_are_one_line(pair, capsys, monkeypatch, options, words):
    monkeypatch.chdir(pair)
    before = sorted(pair.iterdir())
    assert fuse(pair, *options) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert words in errors[0]
    assert sorted(pair.iterdir()) == before


def test_folders_of_temperatures_are_resumed_file_by_file(tmp_path, capsys):
    for i in range(3):
        (tmp_path / "ir").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"ir/{i}.tif", centikelvin(celsius(30.0 + i)))
        write_picture(tmp_path / f"vis/{i}.png", Picture(np.full((48, 64), 9, np.uint8)))
    call = ["fuse", "--ir", f"{tmp_path}/ir", "--vis", f"{tmp_path}/vis", "-o", f"{tmp_path}/out"]
    call += ["--temperature", f"{tmp_path}/warm", "--model", "maximum"]
    assert main(call) == 0
    assert "plateau" in capsys.readouterr().err
    assert [tifffile.imread(tmp_path / f"warm/{i}.tif").max().round(1) for i in range(3)] == [30, 31, 32]
    (tmp_path / "warm/1.tif").unlink()
    kept = (tmp_path / "out/1.png").stat().st_mtime_ns
    assert main(call) == 0
    assert "1 of 3 pairs fused" in capsys.readouterr().out
    assert (tmp_path / "warm/1.tif").exists()
    assert (tmp_path / "out/1.png").stat().st_mtime_ns == kept


def test_a_temperature_without_its_picture_is_not_left(pair, monkeypatch, capsys):
    replace = Path.replace

    def full(self, target):
        if Path(target).name == "f.jpg":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    assert fuse(pair, "--temperature", pair / "t.tif") == 2
    assert "No space left" in capsys.readouterr().err
    assert sorted(path.name for path in pair.iterdir()) == ["ir.tif", "vis.jpg"]


def test_hot_pixels_glow_in_heat_colours(pair, capsys):
    assert fuse(pair, "--agc", "window:10..40C", "--color", "heat") == 0
    fused = read_picture(pair / "f.jpg").pixels.astype(int)
    person, wall = fused[30:70, 46:58], fused[:, 80:]
    assert (person[..., 0] - person[..., 2]).min() > 40  # as much as so bright a pixel holds
    assert (wall[..., 0] - wall[..., 2]).max() < 30
    capsys.readouterr()
    scans = ["--mri", f"{pair}/vis.jpg", "--ct", f"{pair}/f.jpg", "-o", f"{pair}/g.jpg"]
    assert main(["fuse", *scans, "--color", "heat"]) == 2
    assert "color heat is for infrared pictures" in capsys.readouterr().err


def test_scans_keep_false_colours_and_counts_unless_asked(tmp_path, capsys):
    from fsidfusion.thermal.palettes import colour

    levels = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    write_picture(tmp_path / "pet.png", Picture(colour(levels, "hot")))
    write_picture(tmp_path / "mri.png", Picture(levels))
    write_picture(tmp_path / "ct.png", Picture(levels.astype(np.uint16) * 16))
    call = ["fuse", "--mri", f"{tmp_path}/mri.png", "--model", "maximum"]
    for color in ("auto", "gray"):
        files = ["--pet", f"{tmp_path}/pet.png", "-o", f"{tmp_path}/{color}.png", "--color", color]
        assert main([*call, *files]) == 0
        assert "levels" not in capsys.readouterr().err
    assert main([*call, "--ct", f"{tmp_path}/ct.png", "-o", f"{tmp_path}/c.png"]) == 0
    assert "--agc linear" in capsys.readouterr().err
    linear = ["-o", f"{tmp_path}/d.png", "--agc", "linear"]
    assert main([*call, "--ct", f"{tmp_path}/ct.png", *linear]) == 0
    assert capsys.readouterr().err == ""


def test_the_visible_picture_in_a_real_flir_file_has_the_view_of_the_thermal_one(data_root, tmp_path, capsys):
    path = data_root / "formats/radiometric/flir_example.jpg"
    call = ["--vis", "embedded", "--model", "maximum"]
    assert main(["fuse", "--ir", str(path), *call, "-o", f"{tmp_path}/f.png"]) == 0
    assert read_picture(tmp_path / "f.png").pixels.shape == (640, 480, 3)
    drawn, visible = (  # the camera drew the outlines of its visible picture over its thermal one
        np.abs(cv2.GaussianBlur(level, (0, 0), 1) - cv2.GaussianBlur(level, (0, 0), 4))
        for level in (luma(read_picture(path).pixels), luma(read_visible(path).pixels))
    )
    match = cv2.matchTemplate(drawn, visible[40:-40, 40:-40], cv2.TM_CCOEFF_NORMED)
    assert np.abs(np.unravel_index(match.argmax(), match.shape) - np.array((40, 40))).max() <= 1
    assert match.max() > 0.6
    assert main(["fuse", "--ir", str(path.parent), *call, "-o", f"{tmp_path}/all"]) == 1
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["flir_ax8.png", "flir_example.png"]
    assert capsys.readouterr().err.count("embeds no visible picture") == 2


@pytest.mark.parametrize("name", ["dji_h20t", "flir_ax8", "flir_e40", "flir_example"])
def test_the_four_real_radiometric_files_go_through(name, data_root, tmp_path, capsys):
    write_picture(tmp_path / "vis.png", Picture(np.full((120, 160, 3), 60, np.uint8)))
    infrared = data_root / "formats/radiometric" / f"{name}.jpg"
    call = ["fuse", "--ir", str(infrared), "--vis", f"{tmp_path}/vis.png", "--resize", "--model", "maximum"]
    assert main([*call, "-o", f"{tmp_path}/f.png"]) == 0
    assert name.split("_")[0].upper() in capsys.readouterr().err
    assert read_picture(tmp_path / "f.png").pixels.std() > 20
    assert main([*call, "-o", f"{tmp_path}/g.png", "--agc", "off"]) == 0
