"""Keeping freed blocks: seen in the page faults of a process of its own."""

import subprocess
import sys

import pytest

from fsidfusion.runtime import allocator

FAULTS = """
import resource
import torch
from fsidfusion.runtime.allocator import keep_large_blocks

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(4 << 20)  # 16 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_large_blocks(), faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is not glibc")
def test_freed_blocks_are_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, kept, after = done.stdout.split()
    if kept == "False":
        pytest.skip("the C library is not glibc")
    assert int(after) < 0.5 * int(before)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_does_nothing_elsewhere(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", platform)
    assert allocator.keep_large_blocks() is False
    assert allocator.give_back_at_once() is False and allocator.is_brief
    assert allocator.keep_large_blocks() is False and not allocator.is_brief
