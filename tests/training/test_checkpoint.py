import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fsidfusion.errors import FusionError
from fsidfusion.training.checkpoint import Position, open_run


def stepped(size: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Linear(size, 2)
    optimizer = torch.optim.AdamW([{"params": list(network.parameters()), "part": ""}])
    network(torch.ones(1, size)).sum().backward()
    optimizer.step()
    return network, optimizer


def test_all_comes_back_from_one_file(tmp_path: Path) -> None:
    network, optimizer = stepped()
    mean = nn.Linear(3, 2)
    with open_run(tmp_path / "run", {"size": (1, 2)}) as run:
        path = run.save(Position(7, 1.5, 0.25), network, mean, optimizer)
    assert sorted(load_file(path)) == sorted(
        f"{kind}/{name}" for kind in ("weights", "average", "first", "second") for name in ("weight", "bias")
    )
    fresh, other = nn.Linear(3, 2), nn.Linear(3, 2)
    begun = torch.optim.AdamW([{"params": list(fresh.parameters()), "part": ""}])
    with open_run(tmp_path / "run", {"size": [1, 2]}) as run:
        assert run.position == Position(7, 1.5, 0.25)
        assert run.restore(fresh, other, begun) == Position(7, 1.5, 0.25)
    for one, two in ((network, fresh), (mean, other)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    for one, two in zip(network.parameters(), fresh.parameters(), strict=True):
        for name, value in optimizer.state[one].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(begun.state[two][name])), name
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == ["checkpoints"]  # no lock is left


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        with open_run(tmp_path / name, {"b": 1, "a": [2, 3]}) as run:
            network, optimizer = stepped()
            files.append(run.save(Position(1, 2.0), network, None, optimizer))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_two_do_not_train_in_one_folder(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from fsidfusion.errors import FusionError
from fsidfusion.training.checkpoint import open_run
try:
    with open_run(Path({str(tmp_path)!r}), {{}}):
        print("in")
except FusionError as error:
    print(error)
"""
    command = [sys.executable, "-c", code]
    with open_run(tmp_path, {}):
        second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = "is being trained in by another process; wait for its end, or choose another folder"
    assert second == f"{tmp_path} {words}\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_folders_of_something_else_are_refused(tmp_path: Path) -> None:
    network, optimizer = stepped()
    with open_run(tmp_path / "run", {"seed": 1, "data": "x"}) as run:
        run.save(Position(1), network, None, optimizer)
    with (
        pytest.raises(FusionError, match=r"other data or settings \(seed\)"),
        open_run(tmp_path / "run", {"seed": 2, "data": "x"}),
    ):
        pass
    with (
        pytest.raises(FusionError, match="holds a run already"),
        open_run(tmp_path / "run", {"seed": 1, "data": "x"}, resume=False),
    ):
        pass
    other = stepped(4)
    with open_run(tmp_path / "run", {"seed": 1, "data": "x"}) as run:
        with pytest.raises(FusionError, match=r"cannot be resumed.*of another network"):
            run.restore(other[0], None, other[1])
        with pytest.raises(FusionError, match="cannot be resumed"):
            run.restore(network, nn.Linear(3, 2), optimizer)  # it holds no average
    (tmp_path / "old" / "checkpoints" / "00000012").mkdir(parents=True)
    with (
        pytest.raises(FusionError, match="checkpoints of an earlier version"),
        open_run(tmp_path / "old", {}),
    ):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(FusionError, match="cannot write to the run folder"), open_run(tmp_path / "file", {}):
        pass
