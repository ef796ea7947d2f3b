"""The loop by itself, on a task of one layer."""

import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fsidfusion._signals import keep_all
from fsidfusion.errors import FusionError
from fsidfusion.training.checkpoint import open_run
from fsidfusion.training.loop import TIME, Progress, Task, fit


def layer(
    steps: int = 6, average: float = 0.8, clip: float = 0.5, batches: int = 2
) -> Task[nn.Module, Tensor]:
    """A layer with batch normalisation that learns the mean of four numbers."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1)).train()
    groups = [{"params": list(part.parameters()), "part": str(place)} for place, part in enumerate(network)]

    def draw(step: int) -> list[Tensor]:
        rng = np.random.default_rng(step)
        return [torch.from_numpy(rng.normal(size=(8, 4)).astype(np.float32)) for _ in range(batches)]

    return Task(
        network,
        torch.optim.AdamW(groups, weight_decay=0.1),
        steps,
        draw,
        loss=lambda network, batch, step: {"square": (network(batch) - batch.mean(1, True)).square().mean()},
        rate=lambda step, part: 0.1 if part == "0" else 0.2 / (1 + step),
        pairs=8,
        clip=clip,
        average=average,
    )


def test_every_stop_gives_the_very_weights(tmp_path: Path) -> None:
    whole = fit(layer()).network.state_dict()
    seen: list[Progress] = []
    for number in range(1, 7):  # no time: one step a sitting
        with open_run(tmp_path / "run", {"a": 1}) as run:
            reached = fit(layer(), run, deadline=0.0, on_step=lambda at, network: seen.append(at))
        assert (reached.step, reached.stopped) == (number, TIME)
    assert reached.finished
    assert [at.step for at in seen] == [1, 2, 3, 4, 5, 6]
    for name, value in reached.network.state_dict().items():
        assert torch.equal(value, whole[name]), name
    kept = [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert kept == ["00000005.safetensors", "00000006.safetensors"]


def test_a_stop_leaves_the_step_at_hand_which_is_done_again(tmp_path: Path) -> None:
    whole = fit(layer()).network.state_dict()
    stops = iter((signal.SIGTERM, signal.SIGINT))

    def stopped_amid(network: nn.Module, batch: Tensor, step: int) -> dict[str, Tensor]:
        terms = layer().loss(network, batch, step)  # which changes what the norm keeps
        if step == 3 and (number := next(stops, None)):
            signal.raise_signal(number)
            raise AssertionError("the step went on")
        return terms

    for number in (signal.SIGTERM, signal.SIGINT):
        with open_run(tmp_path / "run", {}) as run:
            reached = fit(replace(layer(), loss=stopped_amid), run)
        assert (reached.step, reached.stopped) == (3, number)
        assert reached.path and reached.path.stem == "00000003"
    with open_run(tmp_path / "run", {}) as run:
        weights = fit(replace(layer(), loss=stopped_amid), run).network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())


def test_what_comes_between_two_steps_is_left_and_done_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def between(step: int, network: nn.Module) -> None:
        seen.append(step)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("it went on")

    for _ in range(2):
        with open_run(tmp_path / "run", {}) as run:
            reached = fit(layer(), run, between=between)
    assert reached.finished
    assert seen == [1, 2, 2, 3, 4, 5, 6]


def test_another_thread_keeps_what_is_finished_while_a_step_never_ends(tmp_path: Path) -> None:
    whole = fit(layer()).network.state_dict()
    said: list[str] = []

    class Held(Exception):
        pass

    def held(network: nn.Module, batch: Tensor, step: int) -> dict[str, Tensor]:
        terms = layer().loss(network, batch, step)
        if step == 2:
            thread = threading.Thread(target=lambda: said.append(keep_all()))
            thread.start()
            thread.join()
            raise Held
        return terms

    with open_run(tmp_path / "run", {}) as run, pytest.raises(Held):
        fit(replace(layer(), loss=held), run)
    path = tmp_path / "run" / "checkpoints" / "00000002.safetensors"
    assert said == [f"stopped after 2 of 6 steps, kept in {path}; run again to go on"]
    with open_run(tmp_path / "run", {}) as run:
        weights = fit(layer(), run).network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())


def test_the_average_follows_with_a_ramp() -> None:
    task = layer(average=0.5)
    mean = {name: value.clone() for name, value in task.network.state_dict().items()}

    def follow(at: Progress, network: nn.Module) -> None:
        decay = min(0.5, at.step / (9 + at.step))
        for name, value in task.network.state_dict().items():
            mean[name] = decay * mean[name] + (1 - decay) * value if value.is_floating_point() else value
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, mean[name])

    reached = fit(task, on_step=follow)
    assert not reached.network.training
    assert not torch.equal(reached.network.state_dict()["1.weight"], task.network.state_dict()["1.weight"])
    plain = layer(average=0.0)
    assert fit(plain).network is plain.network


def test_parts_are_clipped_apart_and_have_their_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    task, norms, rates = layer(steps=3, clip=1e-3), [], []
    step = task.optimizer.step

    def look() -> None:
        for group in task.optimizer.param_groups:
            norms.append(float(torch.stack([p.grad.norm() for p in group["params"]]).norm()))
            rates.append(group["lr"])
        step()

    monkeypatch.setattr(task.optimizer, "step", look)
    fit(task)
    assert norms == pytest.approx([1e-3] * 6, rel=1e-2)
    assert rates == [0.1, 0.2, 0.1, 0.1, 0.1, 0.2 / 3]


def test_gradients_are_the_mean_over_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    task = layer(steps=1, batches=2, clip=float("inf"))
    expected = layer(steps=1)
    loss = sum(expected.loss(expected.network, batch, 0)["square"] / 2 for batch in task.batches(0))
    torch.as_tensor(loss).backward()
    value = float(torch.as_tensor(loss).detach())
    seen: list[Progress] = []
    fit(task, on_step=lambda at, network: seen.append(at))
    for one, two in zip(task.network.parameters(), expected.network.parameters()):
        torch.testing.assert_close(one.grad, two.grad)
    assert seen[0].losses == pytest.approx({"square": value}, rel=1e-6)


def test_an_explosion_is_told_with_the_last_checkpoint(tmp_path: Path) -> None:
    task = layer()
    broken = Task(
        task.network,
        task.optimizer,
        6,
        task.batches,
        lambda network, batch, step: {
            "x": task.loss(network, batch, step)["square"] * (1e6 if step == 4 else 1)
        },
        task.rate,
        8,
    )
    with (
        pytest.raises(FusionError, match=r"diverged at step 4: gradient norm .*00000004\.safetensors"),
        open_run(tmp_path, {}) as run,
    ):
        fit(broken, run, checkpoint_minutes=0.0)
    with open_run(tmp_path, {}) as run:  # the running mean of the norm is resumed, too
        assert run.position.step == 4
        assert run.position.norm > 0
