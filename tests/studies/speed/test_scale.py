import json
import os

import pytest

from fsidfusion.cli import main
from fsidfusion.errors import InputError
from fsidfusion.studies.speed import scale as module
from fsidfusion.studies.speed.scale import Run, Scale, measure, steady, to_json, to_markdown


def scale():
    runs = (
        Run("fuse", 1, 22.0, 20.0, 0.05),
        Run("ray", 1, 35.0, 16.0, 0.06),
        Run("fuse", 2, 11.0, 40.0, 0.05),
        Run("ray", 2, 20.0, 32.0, 0.055),
    )
    machine = {"processor": "P", "cores": "2", "versions": "ray 1"}
    return Scale(runs, 400, (480, 640), "maximum", 500e3, 250e3, machine)


def test_the_rate_leaves_out_the_start():
    assert steady([*[5.0] * 20, *(6 + i / 10 for i in range(80))]) == pytest.approx(79 / (13.9 - 6.0))
    tasks = [10.0] * 25 + [12.0] * 25 + [14.0] * 25 + [16.0] * 25  # four tasks, each told at once
    assert steady(tasks) == pytest.approx(12.5)
    with pytest.raises(InputError, match="too few for a rate"):
        steady([1.0] * 50)


def test_overhead_and_start_up_are_told_apart():
    found = scale()
    assert found.overhead(1) == pytest.approx((0.25, 0.2))
    assert found.of("ray", 1).startup(400) == pytest.approx(10.0)
    text = to_markdown(found)
    assert "| Ray, 1 worker of 1 thread | 16.0 | 10.0 | 62.5 | +25.0% | 60.0 | +20.0% |" in text
    # 16 pairs/s of each worker: 1e6 / (16 * 16) s; 0.75 MB a pair
    assert "| 16 | 1.09 | 500 | 250 | 192 |" in text
    assert json.loads(to_json(found))["overhead"]["2"] == pytest.approx([0.25, 0.1])


@pytest.mark.slow
def test_runs_are_measured_each_in_a_process_of_its_own(monkeypatch):
    asked = []

    def ask(question):  # without Ray, whose start takes half a minute on a busy machine
        asked.append(question["form"])
        return ask_process({**question, "form": "fuse"})

    ask_process = module._ask
    monkeypatch.setattr(module, "_ask", ask)
    seen = []
    found = measure(40, (240, 320), (1,), "maximum", seen.append)
    assert asked == ["fuse", "ray"]
    check(found, seen)


@pytest.mark.long
@pytest.mark.skipif("FSIDFUSION_FUZZ" not in os.environ, reason="a minute: make fuzz runs it")
def test_workers_are_measured_by_ray():
    pytest.importorskip("ray", reason="ray is not installed")
    seen = []
    check(measure(40, (240, 320), (1,), "maximum", seen.append), seen)


def check(found, seen):
    assert seen == list(found.runs) and [run.form for run in seen] == ["fuse", "ray"]
    assert all(min(run.rate, run.seconds, run.computed) > 0 for run in seen)
    assert found.bytes_in > 240 * 320 and found.bytes_out > 1000


def test_too_few_pairs_are_refused(capfd):
    assert main(["benchmark", "scale", "--pairs", "3"]) == 2
    assert "3 pairs, workers (1, 2): expected 40 or more" in capfd.readouterr().err
