import json
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.lock import alone
from fsidfusion.training.patches import PatchSettings, SourcePair
from fsidfusion.training.prepare import prepare
from training_pairs import PICTURES, random_pairs


def test_a_stopped_preparation_goes_on_and_gives_the_same_cache(tmp_path: Path) -> None:
    whole = prepare(random_pairs(), tmp_path / "whole", PatchSettings(patch=16, stride=16))

    def failing() -> list[SourcePair]:
        broken = random_pairs()

        def stop() -> tuple[np.ndarray, np.ndarray]:
            raise KeyboardInterrupt

        broken[3] = SourcePair("a", "3", "train", stop)
        return broken

    with pytest.raises(KeyboardInterrupt):
        prepare(failing(), tmp_path / "cache", PatchSettings(patch=16, stride=16))
    partial = tmp_path / "cache.partial"
    with (partial / "infrared.raw").open("ab") as file:  # half a pair, as a crash leaves it
        file.write(b"half")
    with (partial / "journal.jsonl").open("a") as file:
        file.write('5f0ad4c8 ["a", "3", [{"se')
    read: list[str] = []
    prepare(
        random_pairs(),
        tmp_path / "cache",
        PatchSettings(patch=16, stride=16),
        lambda p, n: read.append(p.stem),
    )
    assert read == ["3", "4", "5"]
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (tmp_path / "cache" / name).read_bytes() == (whole.folder / name).read_bytes(), name


@pytest.mark.parametrize("fault", ["short", "pixels", "journal", "missing"])
def test_what_a_power_cut_spoilt_is_read_again(tmp_path: Path, fault: str) -> None:
    whole = prepare(random_pairs(), tmp_path / "whole", PatchSettings(patch=0))
    stopped = random_pairs()
    stopped[3] = SourcePair("a", "3", "train", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(stopped, tmp_path / "cache", PatchSettings(patch=0))
    partial = tmp_path / "cache.partial"
    if fault == "short":  # the second of three pairs is not all there
        with (partial / "visible.raw").open("r+b") as file:
            file.truncate(2 * PICTURES[0, 0].size - 1)
    elif fault == "pixels":
        pixels = bytearray((partial / "infrared.raw").read_bytes())
        pixels[PICTURES[0, 0].size] ^= 1
        (partial / "infrared.raw").write_bytes(pixels)
    elif fault == "journal":
        journal = (partial / "journal.jsonl").read_bytes()
        (partial / "journal.jsonl").write_bytes(journal.replace(b'"1", [{', b'"9", [{'))
    else:
        (partial / "infrared.raw").unlink()
    read: list[str] = []
    cache = prepare(
        random_pairs(), tmp_path / "cache", PatchSettings(patch=0), lambda p, n: read.append(p.stem)
    )
    assert read == [str(i) for i in range(0 if fault == "missing" else 1, 6)]
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (cache.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "whole"]  # no lock is left


def test_pixels_are_on_the_disk_before_the_journal_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, said = tmp_path / "cache.partial" / "journal.jsonl", []
    original = os.fsync

    def look(number: int) -> None:
        said.append(len(journal.read_text().splitlines()))
        original(number)

    monkeypatch.setattr(os, "fsync", look)
    prepare(random_pairs(2), tmp_path / "cache", PatchSettings(patch=0))
    assert said[:4] == [0, 0, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_pair_first(tmp_path: Path, number: signal.Signals) -> None:
    def stop(pair: SourcePair, patches: int) -> None:
        if pair.stem == "2":
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as caught:
        prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0), stop)
    assert caught.value.number == number
    assert [path.name for path in tmp_path.iterdir()] == ["cache.partial"]
    read: list[str] = []
    prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0), lambda p, n: read.append(p.stem))
    assert read == ["3", "4", "5"]


def test_two_do_not_prepare_one_cache(tmp_path: Path) -> None:
    with (
        alone(tmp_path / ".cache.lock", ""),
        pytest.raises(FusionError, match=r"cache is being written by another process; wait for its end"),
    ):
        prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    assert len(prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))) == 6


def test_a_full_disk_keeps_what_was_prepared(tmp_path: Path) -> None:
    whole = prepare(random_pairs(), tmp_path / "whole", PatchSettings(patch=0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (7_000, 18_050):  # behind two of six pairs, and within the header that is added at the end
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            with pytest.raises(FusionError, match="make room, and run again"):
                prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    cache = prepare(random_pairs(), tmp_path / "cache", PatchSettings(patch=0))
    for name in ("index.json", "infrared.npy", "visible.npy"):
        assert (cache.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_stopped_preparation_refuses_other_settings(tmp_path: Path) -> None:
    (tmp_path / "cache.partial").mkdir()
    (tmp_path / "cache.partial" / "settings.json").write_text(json.dumps({"patch": 1}))
    with pytest.raises(FusionError, match="other settings"):
        prepare(random_pairs(), tmp_path / "cache")


def test_unusable_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"no patch of 128 x 128.*smaller `patch`"):
        prepare(random_pairs(), tmp_path / "cache")
    prepare(
        random_pairs(), tmp_path / "cache", PatchSettings(patch=16)
    )  # nothing of the first try is in the way
    for settings in (PatchSettings(patch=-1), PatchSettings(stride=0), PatchSettings(min_contrast=2)):
        with pytest.raises(FusionError, match="expected at least 0, at least 1"):
            prepare(random_pairs(), tmp_path / "none", settings)
    with pytest.raises(FusionError, match="percentiles 90 and 10: expected"):
        prepare(random_pairs(), tmp_path / "none", PatchSettings(low=90, high=10))
    uneven = [SourcePair("a", "x", "train", lambda: (PICTURES[0, 0], PICTURES[0, 1, :40]))]
    with pytest.raises(FusionError, match="a/x: the images differ in size, 60x50 and 60x40"):
        prepare(uneven, tmp_path / "other", PatchSettings(patch=0))
    (tmp_path / "there").mkdir()
    with pytest.raises(FusionError, match="exists already"):
        prepare(random_pairs(), tmp_path / "there")
