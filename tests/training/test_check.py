import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsidfusion.images.sets import find_sets
from fsidfusion.studies.scenes import render_scene
from fsidfusion.training.check import check_sets, estimate_shift


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    drawn = render_scene(3, (192, 256), "day", smoke=False)
    return drawn.infrared, cv2.cvtColor(drawn.visible, cv2.COLOR_RGB2GRAY)


def write(root: Path, name: str, infrared: np.ndarray, visible: np.ndarray) -> None:
    for folder, image in (("ir", infrared), ("vi", visible)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / folder / f"{name}.png"), image)


def kinds(root: Path) -> dict[str, str]:
    return {finding.pair: finding.kind for finding in check_sets(find_sets(root))[0]}


def test_good_pairs_pass(tmp_path: Path, scene: tuple[np.ndarray, np.ndarray]) -> None:
    write(tmp_path / "good", "a", *scene)
    assert kinds(tmp_path) == {}


def test_each_fault_is_named(tmp_path: Path, scene: tuple[np.ndarray, np.ndarray]) -> None:
    infrared, visible = scene
    root = tmp_path / "faults"
    write(root, "a", infrared, visible)
    write(root, "b", infrared, visible)  # "a" is the validation pair of the set
    write(root, "flat", infrared, np.full_like(visible, 40))
    write(root, "uneven", infrared, visible[:-2])
    write(root, "broken", infrared, visible)
    (root / "vi" / "broken.png").write_bytes((root / "vi" / "broken.png").read_bytes()[:200])
    write(root, "lone", infrared[::-1], visible[::-1])
    (root / "ir" / "lone.png").unlink()
    assert kinds(tmp_path) == {
        "b": "duplicate",
        "flat": "constant",
        "uneven": "sizes",
        "broken": "unreadable",
        "lone": "alone",
    }


@pytest.mark.parametrize("shift", [0, 3, 9])
def test_shift_of_one_picture_against_itself(scene: tuple[np.ndarray, np.ndarray], shift: int) -> None:
    visible = scene[1]
    width = visible.shape[1]
    found, gain = estimate_shift(visible[:, : width - 20], visible[:, shift : width - 20 + shift])
    assert found == shift
    assert (gain > 0.05) == (shift > 0)
    assert estimate_shift(visible[:8], visible[:8]) == (0, 0)


def test_shifted_pairs_are_named(tmp_path: Path, scene: tuple[np.ndarray, np.ndarray]) -> None:
    write(tmp_path / "set", "shifted", scene[1][:, :-9], scene[1][:, 9:])
    write(tmp_path / "set", "straight", *scene)
    assert kinds(tmp_path) == {"shifted": "misaligned"}


def test_command_line_draws_a_sheet_and_its_status_tells(
    tmp_path: Path, scene: tuple[np.ndarray, np.ndarray]
) -> None:
    write(tmp_path / "set", "a", *scene)
    write(tmp_path / "set", "b", scene[0], np.zeros_like(scene[1]))
    line = [sys.executable, "-m", "fsidfusion", "data", "check", "--data", str(tmp_path)]
    done = subprocess.run(
        [*line, "--sheet", str(tmp_path / "sheet.png")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "2 pairs in 1 sets: 1 constant" in done.stdout
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None


def test_pairs_of_two_splits_are_found_at_another_size_and_quality(
    tmp_path: Path, scene: tuple[np.ndarray, np.ndarray]
) -> None:
    infrared, visible = scene
    other = [np.ascontiguousarray(side[:, ::-1]) for side in scene]
    write(tmp_path / "MSRS" / "train", "a", *other)
    write(tmp_path / "MSRS" / "train", "b", infrared, visible)
    write(tmp_path / "MSRS" / "test", "same", infrared, visible)
    small = [cv2.resize(side, (128, 96), interpolation=cv2.INTER_AREA) for side in other]
    write(tmp_path / "MSRS" / "test", "small", *small)
    findings = {finding.pair: finding for finding in check_sets(find_sets(tmp_path))[0]}
    assert {pair: finding.kind for pair, finding in findings.items()} == {"b": "duplicate", "small": "alike"}
    assert "train pair equals MSRS/test/same of the test split" in findings["b"].text
    assert "test pair looks like MSRS/train/a of the validation split" in findings["small"].text
