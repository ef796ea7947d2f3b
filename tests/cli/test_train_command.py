import io
import math
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsidfusion.cli import main
from fsidfusion.cli import training as command
from fsidfusion.training.loop import Progress
from fsidfusion.training.presets import preset_names


def progress(step: int, stage: str = "fuse") -> Progress:
    losses = {"intensity": 0.5, "gradient": step / 10} if stage == "fuse" else {"rec_visible": 1.0}
    return Progress(step, 4, stage, losses, 1.0, 1e-3, 20.0, 1.0, 7200.0 / step)


def test_without_a_terminal_plain_lines_come_now_and_then(monkeypatch, capsys) -> None:
    clock = [0.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: clock[0])
    with command.training_progress() as (show, show_validation):
        for step, clock[0] in ((1, 0.0), (2, 10.0), (3, 31.0), (4, 33.0)):
            show(progress(step, "reconstruct" if step == 1 else "fuse"))
        for done, clock[0] in ((1, 34.0), (2, 70.0), (3, 71.0)):
            show_validation(done, 3)
    assert capsys.readouterr().err.splitlines() == [
        "reconstruct 1/4  rec_visible 1.0000  20.0 pairs/s, 2.0 h left",
        "fuse 3/4  loss 0.7500  (intensity 0.5000  gradient 0.2500)  20.0 pairs/s, 40 min left",
        "fuse 4/4  loss 0.8000  (intensity 0.5000  gradient 0.3000)  20.0 pairs/s, 30 min left",
        "validating 2/3",
        "validating 3/3",
    ]


def test_a_terminal_gets_a_bar_with_losses_and_time_left(monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    for name, value in {"COLUMNS": "160", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    with command.training_progress() as (show, show_validation):
        show(progress(3))
        show_validation(2, 5)
        show(progress(4))
    text = stream.getvalue()
    for part in ("fuse", "4/4", "steps", "20.0 pairs/s", "loss 0.8"):
        assert part in text


def write_sets(root: Path, size: tuple[int, int] = (64, 80), number: int = 3) -> Path:
    """A set of random pairs in the layout of MSRS."""
    rng = np.random.default_rng(1)
    for split in ("train", "test"):
        for folder in ("ir", "vi"):
            place = root / "MSRS" / split / folder
            place.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (*size, 3) if folder == "vi" else size, np.uint8)
                Image.fromarray(pixels).save(place / f"{split}{i}.png")
    return root / "MSRS"


SMALL = ["network_options={channels: 16, blocks: 1}", "steps_per_epoch=1", "batch=1", "crop=32"]
SMALL += ["reconstruction_epochs=1", "fusion_epochs=1"]


@pytest.mark.parametrize("preset", ["published", "balanced"])
def test_presets_go_from_raw_folders_to_weights(
    tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, cache, run = write_sets(tmp_path / "raw"), tmp_path / "cache", tmp_path / "run"
    assert main(["data", "prepare", "--data", str(raw), "-o", str(cache), "--patch", "32"]) == 0
    assert "left out: MSRS/test (3 pairs)" in capsys.readouterr().out
    line = ["train", "--data", str(cache), "-o", str(run), "--preset", preset, "--device", "cpu"]
    assert main([*line, "--set", *SMALL, "--tensorboard"]) == 0
    for name in ("weights.safetensors", "stage-one.safetensors", "report.html", "config.yaml"):
        assert (run / name).stat().st_size > 100
    assert list((run / "tensorboard").glob("events.*"))
    assert f"weights: {run / 'weights.safetensors'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "{raw}"], "is not a readable patch cache"),
        (["--data", "{cache}", "--preset", "fast"], "preset 'fast' does not exist; choose balanced, light"),
        (["--data", "{cache}", "--set", "learnin_rate=1"], "did you mean learning_rate"),
        (["--data", "{cache}", "--set", "losses={gradiant: 1}"], "did you mean gradient"),
        (["--data", "{cache}", "--set", "crop=64"], "crop 64 is larger than MSRS/train/train1 (32x32)"),
        (["--data", "{cache}", "--set", "crop=17"], "crop is 17; fsidfusion-light takes multiples of 2"),
        (["--data", "{cache}", "--set", "set_weights={TNO: 1}"], "set_weights={}"),
        (["--data", "{cache}", "--device", "cuda:7"], "device cuda:7 is not available here"),
        (["--data", "{cache}", "--threads", "0"], "--threads 0: expected 1 to"),
        (["--data", "{cache}", "--set", "reconstruction_epochs=1"], "does not reconstruct its inputs"),
        (["--data", "{cache}", "--set", "init={run}"], "no network or file is named"),
        (["--data", "{cache}", "--set", "network_options={channels: -1}"], "network_options"),
        (["--data", "{cache}", "--max-minutes", "0"], "more than 0"),
        (["--data", "{cache}", "--set", "batch"], "--set takes FIELD=VALUE"),
        (["--data", "{lone}"], "holds no training items; at least 2 pairs"),
    ],
)
def test_wrong_calls_are_one_line_and_leave_no_run(
    tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, cache, run = write_sets(tmp_path / "raw"), tmp_path / "cache", tmp_path / "run"
    main(["data", "prepare", "--data", str(raw), "-o", str(cache), "--patch", "32"])
    index = (cache / "index.json").read_text()
    lone = tmp_path / "lone"
    lone.mkdir()
    for path in cache.iterdir():
        (lone / path.name).write_bytes(path.read_bytes())
    (lone / "index.json").write_text(index.replace('"train"', '"validation"'))
    capsys.readouterr()
    places = {"{raw}": str(raw), "{cache}": str(cache), "{run}": str(run), "{lone}": str(lone)}
    for name, place in places.items():
        options = [option.replace(name, place) for option in options]
    if not any(word in options for word in ("--preset",)):
        own = tmp_path / "own.yaml"
        own.write_text(
            "{network: fsidfusion-light, reconstruction_epochs: 0, reconstruction_weight: 0, crop: 32}"
        )
        options += ["--preset", str(own)]
    assert main(["train", "-o", str(run), "--device", "cpu", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not run.exists()


EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
FEW = ["fusion_epochs=1", "steps_per_epoch=2", "batch=2", "validate_pairs=1"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the example pairs, as anybody's data: a set called mine."""
    root = tmp_path_factory.mktemp("own")
    shutil.copytree(EXAMPLES / "ir", root / "train" / "mine" / "ir")
    shutil.copytree(EXAMPLES / "vis", root / "train" / "mine" / "vis")
    cache = root / "cache"
    assert main(["data", "prepare", "--data", str(root / "train"), "--patch", "0", "-o", str(cache)]) == 0
    return cache


@pytest.mark.parametrize("preset", preset_names())
def test_presets_know_no_sets(own: Path, tmp_path: Path, preset: str) -> None:
    few = list(FEW)
    if preset in ("published", "balanced"):
        few += ["crop=32", "reconstruction_epochs=1", "network_options={channels: 16, blocks: 1}"]
    line = ["train", "--data", str(own), "--preset", preset, "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*line, "--set", *few]) == 0
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_sets_are_drawn_in_given_shares(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--data", str(own), "-o", str(tmp_path / "run"), "--device", "cpu", "--set", *FEW]
    assert main([*line, "set_weights={mine: 0.3}"]) == 0
    assert "set_weights:\n  mine: 0.3\n" in (tmp_path / "run" / "config.yaml").read_text()
    assert main([*line[:4], str(tmp_path / "other"), *line[5:], "set_weights={TNO: 1}"]) == 2
    assert "set_weights names TNO; the cache holds mine" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_by_its_status_and_goes_on(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    options = ["--data", str(own), "-o", str(tmp_path / "run"), "--device", "cpu", "--threads", "1", "--set"]
    options += ["network_options={channels: 4, width: 8, blocks: 1}", "crop=16", "batch=2", "precision=fp32"]
    line = ["train", *options, "validate_pairs=1", "steps_per_epoch=1000", "fusion_epochs=20"]
    command = [sys.executable, "-m", "fsidfusion", *line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        assert first.stderr.readline().startswith("fuse 1/20000")
        assert main(line) == 2  # a second one in the same folder
        words = f"{tmp_path / 'run'} is being trained in by another process; wait for its end"
        assert words in capsys.readouterr().err
        first.send_signal(number)
        said = "".join(first.communicate(timeout=120))
    assert first.returncode == 128 + number
    found = re.search(r"stopped after (\d+) of 20000 steps, kept in (\S+); run again to go on", said)
    assert found and Path(found[2]).stem == f"{int(found[1]):08d}"
    assert Path(found[2]).exists()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == int(found[1])
    assert (tmp_path / "run" / "report.html").exists()
    assert main(["train", "--max-minutes", "1e-9", *line[1:]]) == 1
    assert f"stopped as the time was up after {int(found[1]) + 1} of" in capsys.readouterr().out


def test_time_left_reads_well() -> None:
    assert [command._left(seconds) for seconds in (5, 600, 36_000)] == ["5 s", "10 min", "10.0 h"]
    assert math.isfinite(command.PLAIN_EVERY)
