"""Every reader of files from outside: whatever is in a file, it is read, or refused in one line, soon.

A few dozen cases of each reader run with the suite; ``make fuzz`` runs FSIDFUSION_FUZZ of each, in a process
of its own.
"""

import os

import pytest

from fuzzing import fuzz, run
from readers import READERS, SAYS_TOO_LITTLE

SHORT = 40
LONG = int(os.environ.get("FSIDFUSION_FUZZ", "0"))


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused(reader, tmp_path):
    outcome = run(reader, tmp_path, range(SHORT))
    assert outcome.faults == []
    assert outcome.cases == SHORT


FOUND = {  # by an earlier run of very many, and mended since
    "gif": (3401, 7855),  # a picture of 5 GB in few bytes
    "calibration": (1333,),  # a distortion of three numbers
    "temperatures": (12,),  # a table of one row
    "manifest": (2164, 2348),  # names of columns that break the line
    "archive": (3409,),  # a name that is no text
    "recording": (4409, 11211),  # records of one byte and of two
    "packed_dicom": (4937,),  # a kind of pixels that breaks the line
    "hdf5": (20059, 97689),  # takes two gigabytes in its library; a patch of no pixels
    "itk": (4162,),  # spoils the memory of the process that reads it
}


@pytest.mark.parametrize("reader", FOUND)
def test_what_was_found_once_is_refused(reader, tmp_path):
    outcome = run(reader, tmp_path, FOUND[reader])
    assert outcome.faults == []


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="make fuzz runs it: FSIDFUSION_FUZZ says how many cases")
@pytest.mark.parametrize("reader", READERS)
def test_very_many_damaged_files_are_read_or_refused(reader, tmp_path):
    outcome = fuzz(reader, int(os.environ.get("FSIDFUSION_FUZZ_FROM", "1000")), LONG, tmp_path)
    assert outcome.faults == []
    assert outcome.cases == LONG


@pytest.mark.parametrize("reader", READERS)
def test_what_is_damaged_here_was_read_before(reader, tmp_path):
    name, seeds, read = READERS[reader](tmp_path)
    if reader in SAYS_TOO_LITTLE:
        return
    for seed in seeds:
        (tmp_path / name).write_bytes(seed)
        read(tmp_path / name)
