"""The export command with real files."""

import pytest
import torch

from fsidfusion.cli import main
from fsidfusion.network.checkpoint import save_weights
from fsidfusion.network.light import LightFusion


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "light.safetensors", LightFusion(8, 8, 1))
    return tmp_path / "light.safetensors"


def test_one_line_writes_a_file(weights, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    output = tmp_path / "light.onnx"
    assert main(["export", "--model", str(weights), "--rgb", "-o", str(output)]) == 0
    assert output.stat().st_size > 1000
    assert "largest difference from torch" in capsys.readouterr().out


def test_a_format_that_is_not_known_is_one_line(weights, tmp_path, capsys):
    assert main(["export", "--model", str(weights), "-o", str(tmp_path / "light.bin")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
