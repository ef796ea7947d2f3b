import json
import subprocess
import sys

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.studies.downstream.segmentation.study import read_confusion
from fsidfusion.studies.scenes.rendered_set import write_scene_set

QUICK = ("--steps", "2", "--batch", "2", "--crop", "32", "48", "--device", "cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    list(write_scene_set(folder, 4, 2, (96, 128)))
    return folder


def segment(*arguments):
    return main(["segment", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    assert segment("train", "--data", root, "--input", "maximum", "-o", run, *QUICK) == 0
    return run / "weights.safetensors"


def test_compare_in_a_process_and_again(root, tmp_path):
    call = ("--data", root, "--inputs", "visible", "early", "maximum", "--seeds", "0", *QUICK)
    command = [sys.executable, "-m", "fsidfusion", "segment", "compare", *call, "-o", tmp_path]
    first = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "run 3/3  maximum, seed 0" in first.stderr
    results = sorted(tmp_path.glob("runs/*/result.json"))
    assert [path.parent.name for path in results] == ["early-seed0", "maximum-seed0", "visible-seed0"]
    for path in results:
        scores = json.loads(path.read_text())["scores"]
        assert {"all IoU mean", "day accuracy car", "night F-score person"} <= scores.keys()
        assert read_confusion(path.parent / "confusion.json")["all"].sum() == 2 * 96 * 128
        assert len(list(path.parent.glob("predictions/*.png"))) == 2
        assert not list(path.parent.glob("training-*"))
    report, table = (tmp_path / "report.html").read_text(), (tmp_path / "table.md").read_text()
    assert "rendered by this project" in report
    assert "rendered by this project" in table
    assert report.count("percent of its pixels") == 3  # a confusion matrix for each input
    assert "| input | all | day | night |" in table
    stamps = [path.stat().st_mtime_ns for path in results]
    assert segment("compare", *call, "-o", tmp_path) == 0
    assert [path.stat().st_mtime_ns for path in results] == stamps  # finished runs are kept


def test_train_then_evaluate(root, trained, tmp_path, capsys):
    assert segment("evaluate", "--data", root, "--weights", trained, "-o", tmp_path, "--device", "cpu") == 0
    printed = capsys.readouterr().out
    assert "mean, night" in printed
    record = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert np.sum(record["all"]["confusion"]) == 2 * 96 * 128
    assert (tmp_path / "confusion.svg").read_text().startswith("<svg")
    assert read_picture(tmp_path / "pictures.png").pixels.ndim == 3
    again = tmp_path / "again"
    predictions = ("--predictions", tmp_path / "predictions")
    assert segment("evaluate", "--data", root, *predictions, "-o", again) == 0
    assert json.loads((again / "scores.json").read_text())["scores"] == record


def test_training_stops_in_time_and_goes_on(root, tmp_path, capsys):
    call = ("train", "--data", root, "--input", "visible", "-o", tmp_path, *QUICK)
    assert segment(*call, "--max-minutes", "1e-9") == 1
    assert "run again to go on" in capsys.readouterr().out
    assert not (tmp_path / "weights.safetensors").exists()
    assert segment(*call) == 0
    assert (tmp_path / "weights.safetensors").exists()


def test_show_a_sheet_and_a_folder(root, tmp_path):
    assert segment("show", "--data", root, "--split", "train", "-o", tmp_path / "sheet.png") == 0
    assert read_picture(tmp_path / "sheet.png").size[0] > 4 * 240
    assert segment("show", "--data", root, "-o", tmp_path / "all") == 0
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["100001D.png", "100003N.png", "legend.png"]


def test_a_comparison_that_ran_out_of_time_is_status_1(root, tmp_path, capsys):
    call = ("compare", "--data", root, "--inputs", "visible", "--seeds", "0", "1", *QUICK, "-o", tmp_path)
    assert segment(*call, "--max-minutes", "0") == 1
    assert "1 trainings to go" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate",), "either --weights FILE or --predictions FOLDER"),
        (("train", "--input", "nothing"), "nothing"),
        (("compare", "--seeds", "1", "1"), "not all different"),
        (("show", "--classes", "none.yaml"), "none.yaml does not exist"),
    ],
)
def test_wrong_calls(root, tmp_path, capsys, arguments, message):
    assert segment(*arguments, "--data", root, "-o", tmp_path / "new") == 2
    assert message in capsys.readouterr().err


def test_bad_masks_are_refused_or_skipped(root, tmp_path, capsys):
    copy = tmp_path / "set"
    for path in root.rglob("*.png"):
        write_picture(copy / path.relative_to(root), read_picture(path))
    write_picture(copy / "test/Segmentation_labels/100001D.png", Picture(np.full((96, 128), 77, np.uint8)))
    call = ("show", "--data", copy, "-o", tmp_path / "sheet.png")
    assert segment(*call) == 2
    assert "100001D.png holds the value 77" in capsys.readouterr().err
    assert segment(*call, "--bad-labels", "skip") == 1
    assert "1 bad masks (1 unknown value) skipped" in capsys.readouterr().err
