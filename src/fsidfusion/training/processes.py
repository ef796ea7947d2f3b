"""What surrounds a training: requests to stop, and several processes that torchrun started."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from fsidfusion.errors import InputError


class StopRequested(KeyboardInterrupt):
    """Raised where work ends early because Ctrl-C or SIGTERM (``number``) asked for it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class StopRequest:
    """Whether a stop was asked for: ``number`` is the signal's, 0 before."""

    number = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Ctrl-C and SIGTERM let the step end and be saved; a second Ctrl-C stops at once."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: object) -> None:
        stop.number = number
        signal.signal(number, handlers[signal.Signals(number)])

    for number in (signal.SIGINT, signal.SIGTERM):
        handlers[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


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
