import json
import signal
import subprocess
import sys

import pytest

from fsidfusion.cli import main
from fsidfusion.studies.downstream.detection import study
from fsidfusion.studies.scenes.rendered_set import write_scene_set

SMALL = ("--epochs", "1", "--size", "96", "128", "--threads", "1")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("detect") / "scenes"
    for _ in write_scene_set(root, 4, 3, (96, 128)):
        pass
    return root


def test_compare_writes_a_report_and_goes_on_where_it_was(rendered, tmp_path):
    inputs = ("--inputs", "visible", "fsidfusion-light", "--seeds", "0", "1")
    call = ("detect", "compare", "--data", rendered, *inputs, *SMALL, "-o", tmp_path / "out")
    command = [sys.executable, "-m", "fsidfusion", *map(str, call)]
    first = subprocess.run([*command, "--max-minutes", "0"], capture_output=True, text=True, check=False)
    assert first.returncode == 1, first.stderr
    assert "3 trainings to go" in first.stderr
    assert main([str(part) for part in call]) == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| fsidfusion-light |" in table and "### By night" in table
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="pair card"') == 3 and "worst F1" in page
    predictions = tmp_path / "out" / "runs" / "visible-seed1" / "predictions.json"
    assert {entry["image_id"] for entry in json.loads(predictions.read_text())} <= {
        path.stem for path in (rendered / "test" / "ir").iterdir()
    }


def test_a_detector_is_trained_and_scored_as_its_predictions_are(rendered, tmp_path, capsys):
    data = ("detect", "evaluate", "--data", str(rendered))
    train = ("detect", "train", "--data", str(rendered), "--input", "maximum", *SMALL, "-o", str(tmp_path))
    assert main(train) == 0
    assert "trained on 4 frames of maximum" in capsys.readouterr().out
    assert main([*data, "--detector", str(tmp_path / "detector.safetensors"), "-o", str(tmp_path / "e")]) == 0
    table = capsys.readouterr().out.split("wrote")[0]
    assert "person" in table and "night" in table
    assert main([*data, "--predictions", str(tmp_path / "e" / "predictions.json")]) == 0
    assert capsys.readouterr().out == table
    assert len(list((tmp_path / "e").glob("worst-*.png"))) == 3


def test_a_stopped_training_goes_on(rendered, tmp_path, capsys):
    call = ["detect", "train", "--data", str(rendered), "--input", "visible", *SMALL, "--batch", "1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*call, "-o", str(whole)]) == 0
    for _ in range(2):
        assert main([*call, "-o", str(parts), "--max-minutes", "1e-9"]) == 1
    assert "stopped as the time was up after 2 of 4 steps" in capsys.readouterr().out
    assert main([*call, "-o", str(parts)]) == 0
    files = [folder / "detector.safetensors" for folder in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_stopped_comparison_goes_on_inside_its_training(rendered, tmp_path, monkeypatch):
    few = ("--inputs", "visible", "--seeds", "0", "--size", "48", "64", "--width", "4", "--threads", "1")
    call = [str(part) for part in ("detect", "compare", "--data", rendered, *few, "-o", tmp_path)]
    call += ["--epochs", "200"]
    command = [sys.executable, "-m", "fsidfusion", *call]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while "visible, seed 0  10%" not in first.stderr.readline():
            assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=120)
    assert first.returncode == 143
    assert "stopped; what was finished is kept, run again to go on" in said
    place = tmp_path / "runs" / "visible-seed0"
    kept = list(place.glob("training-*/checkpoints/*.safetensors"))
    assert len(kept) == 1 and int(kept[0].stem) >= 20
    number, counts = int(kept[0].stem), []
    original = study.train_detector

    def counted(*arguments, on_step, **options):
        return original(*arguments, on_step=lambda at: (counts.append(at.step), on_step(at)), **options)

    monkeypatch.setattr(study, "train_detector", counted)
    assert main(call) == 0
    assert counts == list(range(number + 1, 201))
    assert sorted(path.name for path in place.iterdir()) == ["predictions.json", "result.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("evaluate",), "either --detector FILE or --predictions FILE"),
        (("compare", "--seeds", "1", "1"), "different numbers"),
        (("compare", "--epochs", "0", "-o", "x"), "0 epochs"),
    ],
)
def test_wrong_calls_say_what_is_wrong(rendered, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(["detect", options[0], "--data", str(rendered), *options[1:]]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
