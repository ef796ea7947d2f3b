import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fsidfusion.errors import FusionError
from fsidfusion.metrics.table import DEFAULT
from fsidfusion.network.checkpoint import build_model, load_model
from fsidfusion.training import checkpoint, fusion
from fsidfusion.training.checkpoint import RunFolder
from fsidfusion.training.fusion import train
from fsidfusion.training.loop import TIME, Progress
from fsidfusion.training.patches import PatchCache, PatchSettings
from fsidfusion.training.prepare import prepare
from fsidfusion.training.presets import TrainConfig, load_config
from training_pairs import source_pairs


def losses_of(run: Path) -> list[dict[str, float]]:
    keep = ("step", "intensity", "gradient", "edges")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in keep} for line in lines]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_run_ends_with_weights_log_and_validation(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    reached = train(tiny, cache, tmp_path / "run", on_step=seen.append)
    weights = reached.path
    assert (reached.finished, reached.stopped) == (True, 0)
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6]
    assert {p.stage for p in seen} == {"fuse"}
    image = torch.rand(1, 1, 16, 16)
    assert load_model(weights)(image, image).shape == image.shape
    assert load_config(str(tmp_path / "run" / "config.yaml")) == tiny
    validation = json.loads((tmp_path / "run" / "validation.jsonl").read_text())
    assert tuple(validation["mean"]["rendered"]) == DEFAULT  # the eleven metrics
    assert "finished" in (tmp_path / "run" / "report.html").read_text()
    before = weights.stat().st_mtime_ns
    assert train(tiny, cache, tmp_path / "run").path == weights  # nothing left to do
    assert weights.stat().st_mtime_ns == before
    assert len(list((tmp_path / "run" / "validation").glob("*.png"))) == 1


def test_held_out_pairs_are_looked_at_on_the_way_and_once_at_the_end(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path
) -> None:
    train(replace(tiny, validate_every=3), cache, tmp_path / "run")
    lines = (tmp_path / "run" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6]


def test_training_lowers_the_loss(cache: PatchCache, tiny: TrainConfig, tmp_path: Path) -> None:
    seen: list[float] = []
    long = replace(tiny, steps_per_epoch=60, learning_rate=5e-3)
    train(long, cache, tmp_path / "run", on_step=lambda p: seen.append(sum(p.losses.values())))
    assert sum(seen[-10:]) < 0.95 * sum(seen[:10])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_gives_the_very_weights(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path, precision: str
) -> None:
    config = replace(tiny, precision=precision, accumulate=2)
    whole = load_file(train(config, cache, tmp_path / "whole").path)

    def stop(progress: Progress) -> None:
        if progress.step in (2, 3):
            os.kill(os.getpid(), 2 if progress.step == 2 else 15)

    for number in (2, 15):  # stopped twice, by Ctrl-C and by SIGTERM
        reached = train(config, cache, tmp_path / "parts", on_step=stop)
        assert (reached.stopped, reached.finished) == (number, False)
        assert reached.path.parent.name == "checkpoints"
    assert train(config, cache, tmp_path / "parts", deadline=0.0).stopped == TIME
    resumed = load_file(train(config, cache, tmp_path / "parts").path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "parts")
    files = [tmp_path / run / "weights.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_both_stages_of_the_published_network_with_batch_one(cache: PatchCache, tmp_path: Path) -> None:
    config = TrainConfig(
        network_options={"channels": 16, "blocks": 1},
        reconstruction_epochs=1,
        fusion_epochs=1,
        steps_per_epoch=2,
        batch=1,
        crop=16,
        clip=1.0,
        losses={"published": 1.0},
    )
    seen: list[Progress] = []
    before = {k: v.clone() for k, v in _initial(config).items()}
    weights = load_file(train(config, cache, tmp_path / "run", on_step=seen.append).path)
    assert [p.stage for p in seen] == ["reconstruct", "reconstruct", "fuse", "fuse"]
    assert set(seen[0].losses) == {"rec_visible", "rec_infrared", "rec_gradient"}
    assert set(seen[-1].losses) == {*seen[0].losses, "published_intensity", "published_gradient"}
    kept = load_file(tmp_path / "run" / "stage-one.safetensors")
    assert any(not torch.equal(kept[name], weights[name]) for name in weights)
    assert all(torch.equal(kept[n], before[n]) for n in before if n.startswith("specific_fusion.0"))
    moved = {name.split(".")[0] for name in weights if not torch.equal(weights[name], before[name])}
    assert moved == {"encoder", "decoder", "specific_fusion"}


def _initial(config: TrainConfig) -> dict[str, torch.Tensor]:
    torch.manual_seed(config.seed)
    return build_model(config.network, config.network_options).state_dict()


def test_accumulated_passes_give_the_gradients_of_one(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path
) -> None:
    runs = [
        load_file(train(replace(tiny, accumulate=n, augment=False), cache, tmp_path / str(n)).path)
        for n in (1, 4)
    ]
    for name in runs[0]:
        assert torch.allclose(runs[0][name], runs[1][name], atol=2e-4), name


def test_two_processes_give_the_losses_of_one(cache: PatchCache, tiny: TrainConfig, tmp_path: Path) -> None:
    train(tiny, cache, tmp_path / "one")
    tiny.save(tmp_path / "tiny.yaml")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "fsidfusion", "train", "--preset", str(tmp_path / "tiny.yaml"), "--device", "cpu"]
    command += ["--data", str(cache.folder), "-o", str(tmp_path / "two"), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for one, two in zip(losses_of(tmp_path / "one"), losses_of(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, abs=2e-5)


def test_a_diverging_run_stops_and_says_where(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = fusion.stages.fuse, []

    def poisoned(*args: object) -> dict[str, torch.Tensor]:
        calls.append(1)
        terms = original(*args)  # type: ignore[arg-type]
        return {k: v * float("nan") for k, v in terms.items()} if len(calls) == 4 else terms

    monkeypatch.setattr(fusion.stages, "fuse", poisoned)
    config = replace(tiny, checkpoint_minutes=0.0)
    with pytest.raises(FusionError, match=r"diverged at step 3: gradient norm nan.*00000003"):
        train(config, cache, tmp_path / "run")
    monkeypatch.undo()
    assert train(config, cache, tmp_path / "run").finished


def test_a_full_disk_leaves_the_earlier_checkpoint(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = checkpoint.to_bytes, []

    def full(*args: object) -> bytes:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint, "to_bytes", full)
    config = replace(tiny, checkpoint_minutes=0.0)
    with pytest.raises(FusionError, match=r"No space left on device.*make room"):
        train(config, cache, tmp_path / "run")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["00000001.safetensors"]
    assert train(config, cache, tmp_path / "run").finished


def test_a_log_that_cannot_be_written_stops_the_run_and_loses_nothing(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny, checkpoint_minutes=0.0, steps_per_epoch=40)
    whole = load_file(train(config, cache, tmp_path / "whole").path)

    def fill(progress: Progress) -> None:  # from step 20 on files may not grow, as on a full disk
        if progress.step == 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(FusionError, match="make room and run again"):
            train(config, cache, tmp_path / "run", on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert RunFolder(tmp_path / "run", {}).checkpoints()
    resumed = load_file(train(config, cache, tmp_path / "run").path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "run")


def test_a_checkpoint_of_another_network_is_refused(
    cache: PatchCache, tiny: TrainConfig, tmp_path: Path
) -> None:
    other = replace(tiny, network_options={"channels": 8, "width": 8, "blocks": 1})
    train(tiny, cache, tmp_path / "run")
    train(other, cache, tmp_path / "other")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.copytree(tmp_path / "other" / "checkpoints", tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "weights.safetensors").unlink()  # a finished run needs no checkpoint
    with pytest.raises(FusionError, match=r"cannot be resumed.*of another network"):
        train(tiny, cache, tmp_path / "run")


def test_runs_are_not_mixed_up(cache: PatchCache, tiny: TrainConfig, tmp_path: Path) -> None:
    train(tiny, cache, tmp_path / "run")
    with pytest.raises(FusionError, match="another configuration"):
        train(replace(tiny, learning_rate=1.0), cache, tmp_path / "run")
    with pytest.raises(FusionError, match="holds a run already"):
        train(tiny, cache, tmp_path / "run", resume=False)
    other = prepare(source_pairs(7), tmp_path / "other", PatchSettings(patch=0))
    with pytest.raises(FusionError, match=r"a run of other data or settings \(pairs\)"):
        train(tiny, other, tmp_path / "run")
    broken = RunFolder(tmp_path / "run", {}).checkpoints()[-1]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(FusionError, match="cannot be resumed"):
        train(tiny, cache, tmp_path / "run")


def test_init_continues_from_weights(cache: PatchCache, tiny: TrainConfig, tmp_path: Path) -> None:
    first = train(tiny, cache, tmp_path / "first").path
    second = replace(tiny, init=str(first), learning_rate=0.0, learning_rate_floor=0.0)
    again = load_file(train(second, cache, tmp_path / "second").path)
    assert all(torch.allclose(a, again[name], atol=1e-6) for name, a in load_file(first).items())
    with pytest.raises(FusionError, match="holds fsidfusion-light, but the run trains fsidfusion"):
        train(replace(second, network="fsidfusion", network_options={}), cache, tmp_path / "third")


def test_a_wrong_call_is_one_line_and_exits_with_2(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "fsidfusion",
        "train",
        "-o",
        str(tmp_path / "run"),
        "--data",
        str(tmp_path / "no"),
    ]
    wrong = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "not a readable patch cache" in wrong.stderr
    assert not (tmp_path / "run").exists()
