from pathlib import Path

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.fusion.frame_times import Start, date_of, of_list, of_names, offset, stamp_of


def paths(*stems):
    return [Path(f"{stem}.png") for stem in stems]


@pytest.mark.parametrize(
    "stem, seconds",
    [
        ("1700000000.250000", 1_700_000_000.25),
        ("frame_1700000000_25", 1_700_000_000.25),
        ("1700000000250", 1_700_000_000.25),
        ("left-1700000000250000000", 1_700_000_000.25),
        ("20231114_221320_250", 1_700_000_000.25),
        ("2023-11-14T22-13-20", 1_700_000_000.0),
        ("DJI_20231114221320_0007_T", 1_700_000_000.0),
        ("frame_000123", None),
        ("IMG_4567_20239999_000000", None),
        ("0001234567", None),  # 1970: a number
    ],
)
def test_stamps_in_names(stem, seconds):
    found = stamp_of(stem)
    assert found is None if seconds is None else found == pytest.approx(seconds, abs=1e-6)


def test_names_tell_gaps():
    stamped = of_names(paths("1700000000.0", "1700000000.5", "1700000002.0"), 25)
    assert stamped.seconds == pytest.approx((0, 0.5, 2.0))
    assert (stamped.clock, stamped.start) == ("exact", 1_700_000_000.0)
    numbered = of_names(paths("f_10", "f_11", "f_13"), 10)
    assert numbered.seconds == pytest.approx((0, 0.1, 0.3))
    assert (numbered.clock, numbered.start) == ("number", pytest.approx(1.0))
    every_fifth = of_names(paths("f_0", "f_5", "f_10", "f_20"), 10)  # their numbers count five a frame
    assert every_fifth.seconds == pytest.approx((0, 0.1, 0.2, 0.4))
    plain = of_names(paths("a", "b"), 10)
    assert (plain.seconds, plain.clock) == (pytest.approx((0, 0.1)), "none")
    assert of_names(paths("x1_2", "x2_1"), 10).clock == "none"  # numbers that do not rise


def test_a_list_of_times(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("name,time\na.png,1700000000.5\n\nb.png,1700000001.0 # late\n")
    times = of_list(file, 2)
    assert times.seconds == pytest.approx((0, 0.5))
    assert times.clock == "exact"
    file.write_text("1700000000500000000\n1700000001000000000\n")
    assert of_list(file).seconds == pytest.approx((0, 0.5), abs=1e-6)
    file.write_text("0.0\n0.1\n")
    assert of_list(file).clock == "container"
    with pytest.raises(FusionError, match="2 times for 3 frames"):
        of_list(file, 3)
    file.write_text("2\n1\n")
    with pytest.raises(FusionError, match="do not rise"):
        of_list(file)
    with pytest.raises(FusionError, match="does not exist"):
        of_list(tmp_path / "absent.csv")
    file.write_bytes(b"0.0\n\xff\n")
    with pytest.raises(FusionError, match="is no list of times"):
        of_list(file)


def test_the_best_clock_that_both_have_decides():
    assert offset(Start(), Start(), 9.0) == (0.0, "")
    later, note = offset(Start(exact=101.25, container=5.0), Start(exact=100.0, container=0.0), 9.0)
    assert later == 1.25
    assert "1.25 s later, by their own clocks" in note
    assert offset(Start(container=1.0), Start(container=0.0, exact=7.0), 9.0)[0] == 1.0
    assert offset(Start(container=900.0), Start(container=0.0), 9.0) == (0.0, "")  # another clock
    assert offset(Start(date=101.0), Start(date=100.0), 9.0)[0] == 0.0  # whole seconds tell no second
    assert offset(Start(date=104.0), Start(date=100.0), 9.0)[0] == 4.0
    far, note = offset(Start(exact=9e8), Start(exact=100.0), 9.0)
    assert far == 0.0
    assert "taken from their beginnings" in note
    assert date_of("2025-05-30T12:30:37.250000Z") % 60 == 37.25
    assert date_of("yesterday") is None
