"""Several processes that torchrun started for one training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from fsidfusion.errors import InputError


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[int, int]]:
    """This process's rank and the number of processes; joins the group that torchrun describes.

    The group is left together: a process that ended with its connections open would be aborted by them.

    Raises:
        InputError: in the processes that lose another one, whose own message tells why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
        dist.barrier()
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "onnection" not in str(error):
            raise
        raise InputError(f"process {dist.get_rank()} lost another one, which tells why it ended") from error
    finally:
        dist.destroy_process_group()


def agree(number: int, world: int, device: torch.device) -> int:
    """The first process's number, for all: clocks and signals differ."""
    if world == 1:
        return number
    shared = torch.tensor(float(number), device=device)
    dist.broadcast(shared, 0)
    return int(shared)
