"""``fsidfusion import-weights`` and ``models`` as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fsidfusion.cli import main
from fsidfusion.network import names
from fsidfusion.network.checkpoint import load_model, save_weights
from network_reference import pair, reference_checkpoint, reference_network


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fsidfusion", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


class Command:
    """What an unsafe checkpoint would run."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_converts_a_published_checkpoint(golden_root, tmp_path) -> None:
    torch.save(reference_checkpoint(golden_root), tmp_path / "published.pth")
    output = tmp_path / "converted.safetensors"
    done = run("import-weights", tmp_path / "published.pth", "-o", output)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2,823,388 values" in done.stdout
    with torch.no_grad():
        expected = reference_network(golden_root)(*pair(16, 16))
        assert torch.equal(load_model(output)(*pair(16, 16)), expected)


def write(kind: str, path: Path, golden_root: Path, trap: Path) -> None:
    published = reference_checkpoint(golden_root)
    if kind == "misfit":
        encoder = published["DIDF_Encoder"]
        for name in [name for name in encoder if ".duelFuse.Trans1." in name]:
            encoder[name.replace("Trans1", "Trans9")] = encoder.pop(name)
        encoder["module.patch_embed.proj.weight"] = torch.ones(3)
    torch.save(
        [1, 2] if kind == "list" else published | {"x": Command(trap)} if kind == "unsafe" else published,
        path,
    )
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1")
    if kind == "absent":
        path.unlink()


@pytest.mark.parametrize(
    "kind, complaint",
    [
        ("absent", "does not exist"),
        ("text", "is not a torch checkpoint"),
        ("truncated", "is damaged or not a torch checkpoint"),
        ("unsafe", "it could run code"),
        ("list", "is not a published FSIDFusion checkpoint"),
        ("misfit", "11 missing: DIDF_Encoder.duelFuse.Trans1.norm1.body.weight"),
    ],
)
def test_refuses_in_one_line_and_writes_nothing(kind, complaint, golden_root, tmp_path, capsys) -> None:
    write(kind, tmp_path / "given.pth", golden_root, tmp_path / "trap")
    output = tmp_path / "out"
    output.mkdir()
    assert (
        main(["import-weights", str(tmp_path / "given.pth"), "-o", str(output / "weights.safetensors")]) == 2
    )
    printed = capsys.readouterr()
    assert printed.out == "" and complaint in printed.err and printed.err.count("\n") == 1
    assert list(output.iterdir()) == []
    assert not (tmp_path / "trap").exists()
    if kind == "misfit":
        assert "and 3 more; 11 unknown: DIDF_Encoder.duelFuse.Trans9" in printed.err
        assert (
            "1 of another shape: DIDF_Encoder.patch_embed.proj.weight (3,) for (64, 1, 3, 3)" in printed.err
        )


def test_an_unsafe_checkpoint_runs_nothing_in_a_process_of_its_own(golden_root, tmp_path) -> None:
    write("unsafe", tmp_path / "given.pth", golden_root, tmp_path / "trap")
    done = run("import-weights", tmp_path / "given.pth", "-o", tmp_path / "weights.safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    assert "it could run code" in done.stderr and done.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["given.pth"]


def test_lists_the_shipped_networks(capsys) -> None:
    assert main(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert text and all(name in text for name in cards)


def test_lists_a_card_in_lines(small, tmp_path, capsys, monkeypatch) -> None:
    save_weights(tmp_path / "tiny.safetensors", small)
    card = {"licence": "MIT", "parameters": 12345, "scores": {"MSRS": {"EN": 6.71}, "TNO": {"EN": 7.1}}}
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    monkeypatch.setattr(names, "WEIGHTS", tmp_path)
    assert main(["models"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["tiny"]
    assert ["parameters", "12,345"] in lines and ["scores", "MSRS EN 6.71, TNO EN 7.1"] in lines
