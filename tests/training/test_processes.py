import os
import socket
import subprocess
import sys

LOST = """
import torch
from fsidfusion.errors import InputError
from fsidfusion.training.processes import agree, joined
try:
    with joined(torch.device("cpu")) as (rank, world):
        assert agree(15 if rank == 0 else 0, world, torch.device("cpu")) == 15
        if rank == 0:
            raise InputError("the disk is full")
        agree(0, world, torch.device("cpu"))
except InputError as error:
    print(error)
"""


def test_a_process_that_loses_another_says_so_in_one_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", LOST], env={**place, "RANK": rank}, text=True, stdout=subprocess.PIPE
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert said == ["the disk is full", "process 1 lost another one, which tells why it ended"]
