"""The speed table: what is planned, measured in real processes, and written."""

import json
from dataclasses import replace

import pytest
import torch

from fsidfusion.cli import main
from fsidfusion.errors import FusionError
from fsidfusion.network.checkpoint import save_weights
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.light import LightFusion
from fsidfusion.studies.speed import networks as speed
from fsidfusion.studies.speed import page as speed_page
from fsidfusion.studies.speed.networks import FRAMES, PLAIN, Row, Speed, measure, plan


@pytest.fixture
def light(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "light.safetensors", LightFusion(8, 8, 1))
    return str(tmp_path / "light.safetensors")


@pytest.fixture
def published(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "published.safetensors", FSIDFusion(16, 1))
    return str(tmp_path / "published.safetensors")


def test_what_cannot_be_combined_is_not_planned(light, published, monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    rows = plan([light, published], ["torch", "onnxruntime", PLAIN], ["fp32", "bf16"], [(32, 48)])
    found = [(row.runtime, row.precision, row.form) for row in rows if row.model == light]
    assert found == [
        ("torch", "fp32", "luma"),
        ("torch", "fp32", FRAMES),
        ("torch", "bf16", "luma"),
        ("torch", "bf16", FRAMES),
        ("onnxruntime", "fp32", "luma"),
        ("onnxruntime", "fp32", FRAMES),
    ]
    assert [row.form for row in rows if row.runtime == PLAIN] == ["luma"]
    assert {row.form for row in rows if row.model == published} == {"luma"}


def test_operations_are_counted(light):
    network = LightFusion()
    # 3.85 GMAC for a 480x640 pair: its convolutions, one multiplication and one addition each
    assert speed.gflop_per_pixel(network) * 480 * 640 == pytest.approx(2 * 3.85, rel=0.01)


def test_rows_that_take_too_long_or_too_much_are_left_out(monkeypatch):
    asked = []

    def ask(question):
        asked.append(question)
        return {"seconds": 30.0} if "row" in question else {"gflops": 100.0}

    monkeypatch.setattr(speed, "_ask", ask)
    rows = [Row("m", "torch", "fp32", "luma", side, side) for side in (100, 200)]
    rows.append(Row("m", PLAIN, "fp32", "luma", 2000, 2000))
    result = measure(rows)
    assert [row.note for row in result.rows] == ["", "over 20 s a pass", "needs too much memory"]
    assert len(asked) == 2


@pytest.mark.parametrize("seconds, passes", [(0.5, 6), (4.0, 3), (20.0, 1)])
def test_slow_calls_are_timed_less_often(monkeypatch, seconds, passes):
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    times = speed.timed(lambda: clock.__setitem__(0, clock[0] + seconds), 3.0)
    assert times == [seconds] * passes


def test_speeds_follow_from_seconds():
    row = Row(
        "m", "torch", "fp32", "luma", 480, 640, seconds=0.05, p95=0.06, passes=9, memory=1 << 30, gflop=4
    )
    result = Speed((row,), {"fp32 on cpu": 160.0}, {})
    assert (row.pairs_per_second, row.gflops, result.share(row)) == (20, 80, 0.5)
    cells = speed_page.cells(result, row)
    assert cells == ("torch", "fp32", "640x480", "50.0", "60.0", "20.00", "1024", "80", "50%")


def test_the_command_measures_in_a_real_process(published, tmp_path, capsys):
    line = ["benchmark", "speed", "--model", published, "--sizes", "32x24", "--runtimes", "plain"]
    line += ["--precisions", "fp32", "--quick", "-o", str(tmp_path)]
    assert main([*line, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "| plain | fp32 | 32x24 |" in (tmp_path / "speed.md").read_text()
    assert (tmp_path / "speed.svg").read_text().startswith("<svg")
    assert (row["runtime"], row["form"], row["note"]) == ("plain", "luma", "")
    assert row["passes"] >= 3
    assert 0 < row["seconds"] <= row["p95"]
    assert 2**26 < row["memory"] < 2**34
    assert 0 < row["share"] < 1


def test_a_cuda_device_adds_its_rows(light, monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    rows = plan([light], ["torch", "onnxruntime"], ["fp32"], [(32, 48)])
    assert [(row.runtime, row.device, row.form) for row in rows if row.device != "cpu"] == [
        ("torch", "cuda", "luma"),
        ("torch", "cuda", FRAMES),
    ]
    assert speed_page.cells(Speed((), {}, {}), rows[-1])[0] == "torch, cuda"


def test_cost_is_drawn_against_size():
    rows = [Row("m", "torch", "fp32", "luma", side, side, seconds=side**2 / 1e6) for side in (100, 1000)]
    rows += [replace(rows[0], form=FRAMES), replace(rows[0], runtime=PLAIN, seconds=0.0, note="too slow")]
    svg = speed_page.plot(Speed(tuple(rows), {}, {}))
    assert svg.count("<polyline") == 1
    assert "m torch fp32" in svg


@pytest.mark.parametrize("form", ["luma", FRAMES])
def test_passes_of_a_network_are_timed(form, light):
    answered = speed._measure_here(Row(light, "torch", "fp32", form, 24, 32), 0.01, 1)
    assert answered["passes"] >= 3
    assert 0 < answered["gflop"] < 0.1


@pytest.mark.parametrize("size", ["640", "640x", "ax3", "1x1"])
def test_wrong_sizes_are_said(size):
    with pytest.raises(FusionError, match="width x height"):
        speed.parse_size(size)
