import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.training.loop import Progress
from fsidfusion.training.record import Record, StepLine, ValidationLine, disk_errors, read_lines
from fsidfusion.training.validation import Validation


def progress(step: int, seconds: float = 1.0) -> Progress:
    return Progress(step, 9, "fuse", {"intensity": 1 / step}, 2.0, 1e-3, 8.0, seconds, 1.0)


def test_lines_behind_the_checkpoint_are_written_once(tmp_path: Path) -> None:
    with Record(tmp_path, 0) as record:
        for step in (1, 2, 3):
            record.add_step(progress(step, float(step)))
            record.add_validation(Validation(step, "percentile", {"a": {"EN": 1.0}}, tmp_path / "none"))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "stage": "fu')  # as a crash leaves it
    with Record(tmp_path, 2) as record:
        record.add_step(progress(3, 30.0))
    steps = read_lines(tmp_path / "metrics.jsonl", StepLine)
    assert [(line["step"], line["seconds"]) for line in steps] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert [line["step"] for line in read_lines(tmp_path / "validation.jsonl", ValidationLine)] == [1, 2]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 4, "stage": "fuse"}',
        '{"step": "4", "stage": "fuse", "seconds": 1, "lr": 1, "gradient_norm": 1}',
        '{"step": 4, "stage": "other", "seconds": 1, "lr": 1, "gradient_norm": 1}',
        '{"step": 4, "stage": "fuse", "seconds": 1, "lr": 1, "gradient_norm": 1, "loss": {}}',
        "[" * 100_000,
        "7",
    ],
)
def test_a_line_that_is_none_is_passed_over(tmp_path: Path, line: str) -> None:
    whole = '{"step": 1, "stage": "fuse", "seconds": 1.0, "lr": 1, "gradient_norm": NaN, "loss": 2}'
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n{whole}\n")
    assert [found["step"] for found in read_lines(tmp_path / "metrics.jsonl", StepLine)] == [1]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with Record(tmp_path, 0, tensorboard=True, active=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_losses_scores_and_the_sheet(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    import numpy as np
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "sheet.png")
    with Record(tmp_path, 0, tensorboard=True) as record:
        record.add_step(progress(1))
        record.add_step(progress(2))
        record.add_validation(Validation(2, "percentile", {"a": {"EN": 7.0}}, tmp_path / "sheet.png"))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("loss/intensity")] == [1.0, 0.5]
    assert events.Scalars("validation EN/a")[0].value == 7.0
    assert events.Tags()["images"] == ["validation"]


def test_absent_tensorboard_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(FusionError, match=r"pip install '\.\[tensorboard\]'"):
        Record(tmp_path, 0, tensorboard=True)


def test_a_failed_write_says_that_the_checkpoints_are_whole(tmp_path: Path) -> None:
    words = "No space left on device.*checkpoints are untouched"
    with pytest.raises(FusionError, match=words), disk_errors(tmp_path):
        raise OSError(28, "No space left on device")
