"""What a file from outside may cost: claims that cannot be filled, bombs, pipes, and children with limits."""

import os
import zlib

import pytest

from fsidfusion.errors import InputError
from fsidfusion.images.budget import check_filled, inflated_size, regular_file


def test_a_claim_that_its_bytes_cannot_fill_is_refused():
    check_filled(1032, 1)
    with pytest.raises(ValueError, match="1 bytes cannot hold the 1033"):
        check_filled(1033, 1)
    with pytest.raises(ValueError):
        check_filled(101, 100, 1)


@pytest.mark.parametrize("wbits", [15, 31, -15])
def test_inflating_counts_exactly_and_stops_at_the_limit(wbits):
    packing = zlib.compressobj(9, zlib.DEFLATED, wbits)
    packed = packing.compress(bytes(5_000_000)) + packing.flush()
    pieces = [packed[at : at + 999] for at in range(0, len(packed), 999)]
    assert inflated_size(pieces, 10_000_000, wbits) == 5_000_000
    assert 3_000_000 < inflated_size(pieces, 3_000_000, wbits) <= 3_000_000 + (1 << 20)
    assert inflated_size(pieces[:2], 10_000_000, wbits) < 5_000_000


def test_pipes_folders_loops_and_long_names_are_refused_in_one_line(tmp_path):
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    (tmp_path / "a").write_bytes(b"12")
    assert regular_file(tmp_path / "a") == 2
    for path, reason in (
        (pipe, "pipe"),
        (loop, "cannot be opened"),
        (tmp_path, "is a folder"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "zero\0byte", "cannot be opened"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            regular_file(path)
        assert len(str(caught.value).splitlines()) == 1
