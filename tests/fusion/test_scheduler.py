import threading
from dataclasses import dataclass

import pytest

from fsidfusion.fusion.scheduler import Ahead, Behind, overlap


@dataclass(eq=False)
class Parcel:
    number: int
    bytes: int = 10
    passes: int = 1


def run(
    parcels, before=lambda parcel: None, compute=lambda parcel: None, after=lambda parcel: None, limit=100
):
    return list(overlap(iter(parcels), before, compute, after, single=lambda: None, threads=2, limit=limit))


@pytest.mark.parametrize("passes", [1, 3])
def test_every_parcel_goes_through_the_steps_in_order(passes):
    seen, lock = {}, threading.Lock()

    def step(name):
        def note(parcel):
            with lock:
                seen.setdefault(parcel.number, []).append(name)

        return note

    done = run([Parcel(i, passes=passes) for i in range(9)], step("read"), step("compute"), step("write"))
    assert sorted(parcel.number for parcel in done) == list(range(9))
    assert all(steps == ["read", "compute", "write"] for steps in seen.values())


def test_long_work_is_computed_in_the_calling_thread_one_after_the_other():
    where = set()
    run([Parcel(i) for i in range(5)], compute=lambda parcel: where.add(threading.current_thread()))
    assert where == {threading.current_thread()}


def test_what_is_on_its_way_is_bounded_but_one_always_goes():
    held, most, lock = [0], [0], threading.Lock()

    def take(parcel):
        with lock:
            held[0] += parcel.bytes
            most[0] = max(most[0], held[0])

    def give(parcel):
        with lock:
            held[0] -= parcel.bytes

    run([Parcel(i) for i in range(20)], before=take, after=give, limit=25)
    assert most[0] <= 20
    assert len(run([Parcel(0, bytes=1000), Parcel(1, bytes=1000)], limit=25)) == 2


def test_a_step_that_fails_ends_the_run_with_its_error():
    def fail(parcel):
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        run([Parcel(0)], before=fail)


def test_reading_ahead_keeps_order_and_hands_on_what_went_wrong():
    def items():
        yield from range(20)
        raise ValueError("the cable was pulled")

    ahead = Ahead(items(), 3)
    taken = []
    with pytest.raises(ValueError, match="cable"):
        for item in ahead:
            taken.append(item)
    assert taken == list(range(20))
    with pytest.raises(ValueError, match="cable"):
        next(ahead)


def test_reading_ahead_stops_where_it_is_closed():
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield taken[-1]

    ahead = Ahead(endless(), 3)
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert not ahead._thread.is_alive()
    assert len(taken) <= 8


def test_writing_behind_keeps_order_and_hands_back_what_went_wrong():
    written = []
    behind = Behind(written.append, 2)
    for item in range(10):
        behind.put(item)
    behind.close()
    assert written == list(range(10))
    assert behind.failure is None

    def full(item):
        raise OSError(28, "No space left on device")

    behind = Behind(full, 1)
    with pytest.raises(OSError, match="No space"):
        for item in range(10):
            behind.put(item)
    behind.close()
    assert isinstance(behind.failure, OSError)
