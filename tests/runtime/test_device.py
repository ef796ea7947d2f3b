import mmap
from pathlib import Path

import pytest
import torch

from fsidfusion.errors import FusionError
from fsidfusion.runtime.device import (
    choose_device,
    choose_precision,
    format_bytes,
    free_memory,
    parse_bytes,
    resident_memory,
)


@pytest.mark.parametrize(
    "text, size",
    [
        ("2GiB", 2**31),
        ("1.5g", 3 * 2**29),
        ("800 MB", 800 * 2**20),
        (4096, 4096),
        ("64kib", 65536),
        ("12B", 12),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "2XiB", "GiB"])
def test_what_is_no_size(text):
    with pytest.raises(FusionError, match="not a size"):
        parse_bytes(text)


def test_sizes_are_shown():
    assert format_bytes(3 * 2**29) == "1.5 GiB"
    assert format_bytes(100 * 2**20) == "100 MiB"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:-1", "cuda:99", "cpu:1"])
def test_devices_that_are_not_there(name):
    with pytest.raises(FusionError, match="choose"):
        choose_device(name)


def test_auto_takes_what_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


@pytest.mark.parametrize(
    "flags, native", [("fpu avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx2", False)]
)
def test_bf16_only_where_it_is_native(monkeypatch, flags, native):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor : 0\nflags\t\t: {flags}\nbugs :\n")
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == ("bf16" if native else "fp32")
    assert choose_precision("fp32", cpu) == "fp32"
    if native:
        assert choose_precision("bf16", cpu) == "bf16"
    else:
        with pytest.raises(FusionError, match="not native"):
            choose_precision("bf16", cpu)
    with pytest.raises(FusionError, match="unknown"):
        choose_precision("fp8", cpu)


def test_memory_is_told():
    before = resident_memory()
    with mmap.mmap(-1, 64 * 2**20) as block:  # pages of its own, not those that an allocator holds on to
        block.write(b"\1" * len(block))
        assert resident_memory() - before > 32 * 2**20
        assert free_memory() > 0
