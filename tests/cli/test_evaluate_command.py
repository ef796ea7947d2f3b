import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.evaluation.evaluate import evaluate as evaluate_folders
from fsidfusion.images.files import Picture, write_picture


def fsidfusion(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fsidfusion", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """Three pairs in ir/ and vis/; their maximum in max/, their mean in mean/; the pairs as data/TNO, too."""
    root = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    for name in "abc":
        infrared, visible = rng.integers(0, 256, (2, 24, 32), np.uint8)
        for folder, image in {
            "ir": infrared,
            "vis": visible,
            "max": np.maximum(infrared, visible),
            "mean": np.rint(infrared / 2 + visible / 2).astype(np.uint8),
            "data/TNO/ir": infrared,
            "data/TNO/vi": visible,
            "data/MRI_CT/CT": infrared,
            "data/MRI_CT/MRI": visible,
        }.items():
            write_picture(root / folder / f"{name}.png", Picture(image))
    return root


@pytest.fixture
def here(scene, monkeypatch) -> Path:
    monkeypatch.chdir(scene)
    return scene


SOURCES = ("--ir", "ir", "--vis", "vis")
SET = ("--test-set", "TNO", "--data", "data")


def test_one_folder_gives_a_table_and_files(scene, tmp_path):
    call = ("evaluate", *SOURCES, "--fused", "max")
    result = fsidfusion(*call, "--csv", tmp_path / "new" / "s.csv", cwd=scene)
    assert (result.returncode, result.stderr) == (0, "")
    expected = evaluate_folders(scene / "ir", scene / "vis", scene / "max")
    assert "3 pairs, convention cddfuse" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("max"))
    assert f"{expected.mean['VIF']:.3f}" in row
    rows = list(csv.DictReader((tmp_path / "new" / "s.csv").open()))
    assert [row["pair"] for row in rows] == ["a", "b", "c"]
    assert {name: float(rows[1][name]) for name in expected.metrics} == expected.scores["b"]
    result = fsidfusion(*call, "--json", cwd=scene)
    assert (result.returncode, result.stderr) == (0, "")
    record = json.loads(result.stdout)
    assert record["pairs"] == expected.scores
    assert record["mean"] == expected.mean
    assert record["convention"] == "cddfuse"
    assert record["sha256"] == expected.hashes
    assert {"fsidfusion", "numpy", "opencv", "python"} <= set(record["versions"])


def test_several_are_compared(here, tmp_path, capsys):
    assert main(["evaluate", *SOURCES, "--fused", "max", "mean"]) == 0
    output = capsys.readouterr().out
    assert "* best  + second" in output
    assert "pairs on which max is better / equal / worse" in output
    assert main(["evaluate", *SOURCES, "--fused", "max", "mean", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["results"]) == {"max", "mean"}
    comparison = content["comparison"]
    wins = comparison["better_equal_worse"]
    assert wins["max"]["mean"]["SD"] == wins["mean"]["max"]["SD"][::-1] == [3, 0, 0]
    low, high = comparison["interval"]["max"]["SD"]
    assert low <= content["results"]["max"]["mean"]["SD"] <= high


def test_models_are_fused_in_memory(here, capsys):
    assert main(["evaluate", *SOURCES, "--model", "maximum", "--metrics", "EN", "Nabf"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("  maximum, stretched") for line in lines)
    assert any("Nabf ↓" in line for line in lines)
    assert main(["evaluate", *SOURCES, "--model", "mean", "--range", "minmax"]) == 0
    assert "mean, min-max" in capsys.readouterr().out


def test_published_rows_stand_below(here, capsys):
    assert main(["evaluate", *SET, "--model", "maximum", "--range", "none", "--published"]) == 0
    captured = capsys.readouterr()
    row = next(line for line in captured.out.splitlines() if "FSIDFusion" in line and "7.14" in line)
    assert row.split()[1].endswith("/7")
    assert any(sign in row for sign in "▲=▼")
    assert "best of each column" in captured.out
    assert "the published means are over 25 pairs, these over 3" in captured.err


def test_medical_scores_carry_their_note(here, capsys):
    assert main(["evaluate", "--test-set", "mri_ct", "--data", "data", "--model", "maximum"]) == 0
    assert "neighbouring slices of one patient" in capsys.readouterr().err
    assert main(["evaluate", "--mri", "vis", "--ct", "ir", "--fused", "max"]) == 0


def test_undefined_scores_are_told(here, tmp_path, capsys):
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", Picture(np.zeros((24, 32), np.uint8)))
    assert main(["evaluate", *SOURCES, "--fused", str(tmp_path), "--metrics", "EN", "PSNR"]) == 0
    captured = capsys.readouterr()
    assert "PSNR is undefined on a, b, c; its mean is over 0 pairs" in captured.err
    assert "nan" in captured.out


BAD_CALLS = [
    (["--fused", "max"], "given no input"),
    ([*SOURCES], "give either --fused"),
    ([*SOURCES, "--fused", "max", "--model", "maximum"], "give either --fused"),
    ([*SOURCES, "--fused", "max", "--range", "none"], "give either --fused"),
    ([*SOURCES, "--fused", "absent"], "absent"),
    ([*SOURCES, "--fused", "max", "max"], "called max"),
    ([*SOURCES, "--fused", "max", "--metrics", "EM"], "unknown metric 'EM'"),
    ([*SOURCES, "--fused", "max", "--convention", "cdd"], "unknown metric convention"),
    ([*SOURCES, "--fused", "max", "--published"], "--published needs --test-set"),
    ([*SOURCES, "--fused", "max", "--csv", "ir/a.png/x.csv"], "cannot write"),
    ([*SOURCES, "--model", "maximum", "--range", "full"], "'full' is unknown"),
    ([*SOURCES, "--model", "no-such"], "no-such"),
    ([*SOURCES, *SET, "--model", "mean"], "--test-set NAME and --data FOLDER together"),
    (["--test-set", "M3FD", "--data", "data", "--model", "mean"], "'M3FD' is unknown"),
    (["--test-set", "RoadScene", "--data", "data", "--model", "mean"], "no folder named RoadScene"),
    ([*SET, "--model", "mean", "--published", "--convention", "tang"], "convention cddfuse"),
    ([*SOURCES, "--fused", "max", "--threads", "0"], "0 threads"),
]


@pytest.mark.parametrize("arguments, words", BAD_CALLS, ids=[words for _, words in BAD_CALLS])
def test_a_wrong_call_is_one_line_and_status_2(scene, arguments, words):
    result = fsidfusion("evaluate", *arguments, cwd=scene)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--data", "absent"], "absent is not a folder"),
        (["--data", "ir"], "holds no set"),
        (["--data", "data", "--sets", "M3FD"], "there is no set M3FD"),
        (["--data", "data", "--model", "mean", "-o", "ir/a.png"], "cannot write"),
    ],
)
def test_a_wrong_benchmark_is_one_line_and_status_2(scene, arguments, words):
    result = fsidfusion("benchmark", "quality", *arguments, cwd=scene)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_missing_and_stale_files_are_status_2(scene, tmp_path):
    for name in "abcd":
        write_picture(tmp_path / "more" / f"{name}.png", Picture(np.zeros((24, 32), np.uint8)))
    write_picture(tmp_path / "less" / "a.png", Picture(np.zeros((24, 32), np.uint8)))
    for folder, words in {"more": "without a source pair: d", "less": "no fused picture for b, c"}.items():
        result = fsidfusion("evaluate", *SOURCES, "--fused", tmp_path / folder, cwd=scene)
        assert result.returncode == 2
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_quality_writes_its_report_and_resumes(scene, tmp_path):
    call = ("benchmark", "quality", "--data", "data", "--model", "maximum", "-o", tmp_path)
    first = fsidfusion(*call, cwd=scene)
    assert (first.returncode, first.stderr) == (0, "")
    names = ["pictures", "quality.csv", "quality.html", "quality.md", "scores.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    pages = {name: (tmp_path / name).read_bytes() for name in names[1:]}
    kept = (tmp_path / "pictures").stat().st_mtime_ns
    second = fsidfusion(*call, cwd=scene)
    assert second.stdout == first.stdout
    assert {name: (tmp_path / name).read_bytes() for name in names[1:]} == pages
    assert (tmp_path / "pictures").stat().st_mtime_ns == kept


@pytest.mark.parametrize("columns", [60])
def test_a_narrow_terminal_cuts_no_number(scene, columns):
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "fsidfusion", "evaluate", *SOURCES, "--fused", "max", "mean"]
    process = subprocess.Popen(
        command, cwd=scene, stdout=slave, stderr=subprocess.PIPE, env=environment, text=True
    )
    os.close(slave)
    output = b""
    while True:
        try:
            block = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        output += block
    os.close(master)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[\d;]*m", "", output.decode())
    assert "…" not in text
    expected = evaluate_folders(scene / "ir", scene / "vis", scene / "max")
    for metric in ("EN", "PSNR", "Qabf"):
        assert f"{expected.mean[metric]:.2f}"[:-1] in text
    assert max(map(len, text.splitlines())) <= columns
