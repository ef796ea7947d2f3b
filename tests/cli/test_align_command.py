"""The align command, and the ones that apply what it writes; one real process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.alignment.transform import read_alignment
from fsidfusion.cli import main
from fsidfusion.images.files import Picture, read_header, read_picture, write_picture

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def rig(scene, warped, tmp_path, monkeypatch):
    """t.png and c.png, a warped pair; points.csv with its matched points."""
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "t.png", Picture(warped[0]))
    write_picture(tmp_path / "c.png", Picture(scene.visible))
    lines = [
        f"{x},{y},{warped[1][y, x, 0]},{warped[1][y, x, 1]}" for y in (60, 120, 180) for x in (60, 160, 260)
    ]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    return tmp_path


def fuse(*words):
    return main(["fuse", "--ir", "t.png", "--vis", "c.png", "--model", "mean", "--range", "none", *words])


def test_an_alignment_is_written_and_applied_by_a_process(rig):
    command = [sys.executable, "-m", "fsidfusion", "align", "--ir", "t.png", "--vis", "c.png", "-o", "a.json"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "affine by edges over 1 pair; score 0." in result.stdout
    content = json.loads((rig / "a.json").read_text())
    assert content["visible_size"] == [240, 320]
    assert content["date"]
    assert content["score"] > content["score_without"]
    assert fuse("--align", "a.json", "-o", "fused.png") == 0
    assert read_header(rig / "fused.png").width == 320
    assert fuse("--align", "a.json", "--crop", "-o", "cut.png") == 0
    cut = read_header(rig / "cut.png")
    assert 150 < cut.height < 240
    assert 200 < cut.width < 320


def test_fusing_aligned_is_nearer_to_the_truth(rig, scene, capsys):
    truth = (scene.infrared / 2 + read_picture(rig / "c.png").pixels.mean(2) / 2)[40:200, 40:280]
    errors = []
    for choice in ("none", "auto"):
        assert fuse("--align", choice, "--color", "gray", "-o", f"{choice}.png") == 0
        errors.append(np.abs(read_picture(rig / f"{choice}.png").pixels[40:200, 40:280] - truth).mean())
    assert errors[1] < 0.7 * errors[0]
    assert "320x240" in capsys.readouterr().out


def test_matched_points_and_parallax(rig, capsys):
    assert main(["align", "--ir", "t.png", "--vis", "c.png", "--points", "points.csv", "-o", "p.json"]) == 0
    assert "affine by points; residual" in capsys.readouterr().out
    near = ["align", "--alignment", "p.json", "--shift", "6", "-1", "--distance", "5", "-o", "near.json"]
    assert main(near) == 0
    assert main(["align", "--alignment", "near.json", "--distance", "15", "-o", "far.json"]) == 0
    assert json.loads((rig / "far.json").read_text())["shift"] == pytest.approx([2, -1 / 3])
    assert fuse("--align", "near.json", "-o", "near.png") == 0


def test_unequal_sizes_are_fused_with_an_alignment(rig, capsys):
    main(["align", "--ir", "t.png", "--vis", "c.png", "--points", "points.csv", "-o", "p.json"])
    pixels = np.ascontiguousarray(read_picture(rig / "t.png").pixels[::2, ::2])
    write_picture(rig / "t.png", Picture(pixels))
    assert fuse("-o", "no.png") == 2
    assert "--align" in capsys.readouterr().err
    assert fuse("--align", "p.json", "-o", "yes.png") == 0
    assert read_header(rig / "yes.png").width == 320
    write_picture(rig / "t.png", Picture(pixels[:50]))
    assert fuse("--align", "p.json", "-o", "other.png") == 2
    assert "of another shape" in capsys.readouterr().err
    assert not (rig / "other.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ir", "flat.png", "--vis", "c.png"], "the infrared picture is flat"),
        (["--ir", "t.png", "--vis", "c.png", "--points", "line.csv"], "one line"),
        (["--ir", "t.png", "--vis", "c.png", "--points", "two.csv"], "2 matched points"),
        (["--ir", "t.png", "--vis", "c.png", "--vis-fov", "50"], "without the other"),
        (["--alignment", "broken.json", "--shift", "1", "2"], "no sound alignment"),
        (["--alignment", "broken.json", "--ir", "t.png"], "not with pictures"),
        (["--ir", "t.png"], "expected --ir and --vis"),
        ([], "expected --ir and --vis"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(rig, capsys, words, message):
    write_picture(rig / "flat.png", Picture(np.full((240, 320), 80, np.uint8)))
    (rig / "line.csv").write_text("1,1,1,1\n2,2,2,2\n3,3,3,3\n4,4,4,4\n")
    (rig / "two.csv").write_text("1,1,1,1\n2,9,2,2\n")
    (rig / "broken.json").write_text("{")
    assert main(["align", *words, "-o", "out.json"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (rig / "out.json").exists()


def test_an_output_that_exists_is_kept(rig, capsys):
    (rig / "out.json").write_text("mine")
    assert main(["align", "--ir", "t.png", "--vis", "c.png", "-o", "out.json"]) == 2
    assert "exists" in capsys.readouterr().err
    assert (rig / "out.json").read_text() == "mine"


def test_fusing_what_cannot_be_aligned_fails(rig, capsys):
    write_picture(rig / "t.png", Picture(np.full((240, 320), 80, np.uint8)))
    assert fuse("--align", "auto", "-o", "fused.png") == 2
    assert "t.png: the infrared picture is flat" in capsys.readouterr().err
    assert fuse("--crop", "-o", "fused.png") == 2
    assert not (rig / "fused.png").exists()


def test_what_is_aligned_already_is_fused_with_a_note(rig, scene, capsys):
    write_picture(rig / "t.png", Picture(scene.infrared))
    assert fuse("--align", "auto", "-o", "auto.png") == 0
    assert "note: not aligned: the estimate is no better" in capsys.readouterr().err
    assert fuse("-o", "plain.png") == 0
    assert np.array_equal(read_picture(rig / "auto.png").pixels, read_picture(rig / "plain.png").pixels)


def test_a_video_is_aligned_by_one_estimate(rig, scene, warped, capsys):
    pytest.importorskip("av")
    for i in range(3):
        write_picture(rig / "ir" / f"{i}.png", Picture(warped[0]))
        write_picture(rig / "vis" / f"{i}.png", Picture(scene.visible))
    line = ["video", "--ir", "ir", "--vis", "vis", "--model", "mean", "-o", "fused.mp4"]
    assert main([*line, "--align", "auto"]) == 0
    output = capsys.readouterr()
    assert "320x240, 3 frames" in output.out
    assert "aligned: affine by edges over 3 pairs" in output.err
    main(["align", "--ir", "t.png", "--vis", "c.png", "--points", "points.csv", "-o", "p.json"])
    assert main([*line, "--align", "p.json", "--overwrite"]) == 0


def test_a_part_of_the_infrared_pictures_is_aligned(rig, warped, capsys):
    """Beside the picture the frames hold something else, as those of some cameras do."""
    beside = np.random.default_rng(0).integers(0, 255, warped[0].shape).astype(np.uint8)
    write_picture(rig / "both.png", Picture(np.hstack((warped[0], beside))))
    call = ["align", "--ir", "both.png", "--vis", "c.png", "--ir-crop", "left", "-o", "part.json"]
    assert main(call) == 0
    assert main(["align", "--ir", "t.png", "--vis", "c.png", "-o", "whole.json"]) == 0
    part, whole = (read_alignment(rig / f"{name}.json") for name in ("part", "whole"))
    np.testing.assert_allclose(part.matrix, whole.matrix, atol=1e-6)
    assert main([*call[:-1], "points.json", "--points", "points.csv"]) == 0
    assert read_alignment(rig / "points.json").infrared_size == (240, 320)
    assert main([*call[:-1], "late.json", "--ir-offset", "1"]) == 2
    assert "--ir-offset is for two videos" in capsys.readouterr().err
