import threading
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.fusion import files as folder
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import output_paths
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.files import Picture, read_header, read_picture, write_picture
from fsidfusion.images.pairs import Pair, match_pairs
from fsidfusion.thermal.scene import Thermal
from stand_ins import LocalNetwork


def maximum(infrared, visible):
    return np.maximum(infrared, visible)


@pytest.fixture
def fuser():
    return Fuser(maximum, range="none")


def image(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def make_pairs(root: Path, sizes, extension=".png") -> list[Pair]:
    for i, size in enumerate(sizes):
        write_picture(root / "ir" / f"{i}.png", Picture(image(*size, seed=i)))
        write_picture(root / "vis" / f"{i}{extension}", Picture(image(*size, 3, seed=i + 100)))
    return list(match_pairs([root / "ir"], [root / "vis"]).pairs)


def outputs_in(root: Path, pairs: list[Pair], extension=".png") -> list[Path]:
    return output_paths(pairs, str(root / "out"), many=True, extension=extension)


def test_every_pair_is_fused_as_alone(tmp_path):
    sizes = [(40, 50)] * 7 + [(30, 20)] * 2 + [(1, 1), (40, 50)]
    pairs = make_pairs(tmp_path, sizes)
    outputs = outputs_in(tmp_path, pairs)
    network = Fuser(LocalNetwork(), device="cpu", precision="fp32")
    seen = []
    outcomes = fuse_pairs(network, pairs, outputs, progress=seen.append)
    assert [(o.pair, o.output, o.status, (o.height, o.width)) for o in outcomes] == [
        (pair, output, "fused", read_picture(pair.visible).size) for pair, output in zip(pairs, outputs)
    ]
    assert sorted(seen, key=lambda o: o.pair.name) == sorted(outcomes, key=lambda o: o.pair.name)
    for pair, output in zip(pairs, outputs):
        alone = network.fuse(read_picture(pair.infrared).pixels, read_picture(pair.visible).pixels)
        assert np.abs(read_picture(output).pixels.astype(int) - alone).max() <= 1


def test_one_bad_pair_does_not_stop_the_others(tmp_path, fuser):
    pairs = make_pairs(tmp_path, [(40, 50)] * 6)
    content = pairs[1].visible.read_bytes()
    pairs[1].visible.write_bytes(content[: len(content) // 2])
    pairs[3].infrared.unlink()
    write_picture(pairs[4].infrared, Picture(image(50, 40)))
    outcomes = fuse_pairs(fuser, pairs, outputs_in(tmp_path, pairs))
    assert [o.status for o in outcomes] == ["fused", "failed", "fused", "failed", "failed", "fused"]
    assert "cut short" in outcomes[1].message
    assert "does not exist" in outcomes[3].message
    assert "40x50" in outcomes[4].message
    assert "50x40" in outcomes[4].message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png", "5.png"]


def test_a_pair_on_which_the_model_fails_takes_no_batch_with_it(tmp_path):
    def unsound(infrared, visible):
        return np.where((infrared.mean((1, 2)) == 0)[:, None, None], np.nan, visible)

    pairs = make_pairs(tmp_path, [(20, 20)] * 4)
    write_picture(pairs[2].infrared, Picture(np.zeros((20, 20), np.uint8)))
    outcomes = fuse_pairs(Fuser(unsound), pairs, outputs_in(tmp_path, pairs))
    assert [o.status for o in outcomes] == ["fused", "fused", "failed", "fused"]
    assert "NaN" in outcomes[2].message


def test_a_stopped_run_is_resumed(tmp_path):
    pairs = make_pairs(tmp_path, [(20, 20 + i) for i in range(6)])
    outputs = outputs_in(tmp_path, pairs)
    calls = []

    def stopped(infrared, visible):
        calls.append(len(infrared))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return maximum(infrared, visible)

    with pytest.raises(KeyboardInterrupt):
        fuse_pairs(Fuser(stopped, range="none"), pairs, outputs)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert done
    assert set(done) < {path.name for path in outputs}  # and nothing that is half written
    outcomes = fuse_pairs(Fuser(maximum, range="none"), pairs, outputs)
    assert [o.status for o in outcomes].count("skipped") == len(done)
    assert all(path.stat().st_mtime_ns == done.get(path.name, path.stat().st_mtime_ns) for path in outputs)
    again = fuse_pairs(Fuser(maximum, range="none"), pairs, outputs, Plan(overwrite=True))
    assert {o.status for o in again} == {"fused"}


def test_a_failed_write_is_a_failed_pair(tmp_path, fuser, monkeypatch):
    pairs = make_pairs(tmp_path, [(20, 20)] * 3)
    replace = Path.replace

    def full(self, target):
        if Path(target).name == "1.png":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    outcomes = fuse_pairs(fuser, pairs, outputs_in(tmp_path, pairs))
    assert [o.status for o in outcomes] == ["fused", "failed", "fused"]
    assert "No space left" in outcomes[1].message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]


def test_depth_follows_the_deepest_source(tmp_path, fuser):
    write_picture(tmp_path / "ir.png", Picture(image(9, 7, dtype=np.uint16)))
    write_picture(tmp_path / "vis.png", Picture(image(9, 7, 3), image(9, 7, seed=3)))
    pairs = [Pair("a", tmp_path / "ir.png", tmp_path / "vis.png")]
    cases = [("a.png", "auto", 16), ("a.tif", "auto", 16), ("a.jpg", "auto", 8), ("b.png", "8", 8)]
    for name, bits, expected in cases:
        (outcome,) = fuse_pairs(fuser, pairs, [tmp_path / "out" / name], Plan(bits=bits))
        assert outcome.status == "fused"
        assert read_header(outcome.output).bits == expected
        assert bool(outcome.message) == (name == "a.jpg")
    alpha = read_picture(tmp_path / "out/a.png").alpha
    np.testing.assert_array_equal(alpha, image(9, 7, seed=3).astype(np.uint16) * 257)


def test_colour_of_the_source_that_is_named(tmp_path, fuser):
    write_picture(tmp_path / "pet.png", Picture(image(9, 7, 3)))
    write_picture(tmp_path / "mri.png", Picture(image(9, 7, seed=1)))
    pairs = [Pair("a", tmp_path / "pet.png", tmp_path / "mri.png")]
    for color, channels in (("infrared", 3), ("visible", 1), ("gray", 1)):
        fuse_pairs(fuser, pairs, [tmp_path / f"{color}.png"], Plan(color=color))
        assert read_header(tmp_path / f"{color}.png").channels == channels


def test_resizing_is_opted_in(tmp_path, fuser):
    write_picture(tmp_path / "ir.png", Picture(image(9, 7)))
    write_picture(tmp_path / "vis.png", Picture(image(18, 14)))
    pairs = [Pair("a", tmp_path / "ir.png", tmp_path / "vis.png")]
    (refused,) = fuse_pairs(fuser, pairs, [tmp_path / "a.png"])
    assert "7x9" in refused.message
    assert "14x18" in refused.message
    (fused,) = fuse_pairs(fuser, pairs, [tmp_path / "a.png"], Plan(resize=True))
    assert (fused.status, fused.height, fused.width) == ("fused", 18, 14)


def test_what_is_wrong_with_the_call_is_said_before_anything_is_written(tmp_path, fuser):
    pairs = make_pairs(tmp_path, [(9, 7), (9, 7)])
    out = tmp_path / "out"
    (tmp_path / "link.png").symlink_to(pairs[0].infrared)
    cases = [
        ([out / "a.png", pairs[1].visible], Plan(overwrite=True), "also an input"),
        ([out / "a.png", tmp_path / "link.png"], Plan(overwrite=True), "also an input"),
        ([out / "a.png", out / "x" / ".." / "a.png"], Plan(), "two pairs"),
        ([out / "a.png", out / "a.gif"], Plan(), "extension"),
        ([out / "a.png", pairs[0].visible / "new" / "b.png"], Plan(), "cannot be written"),
        ([out / "a.png", out / "a.jpg"], Plan(bits="16"), "JPEG cannot hold 16"),
    ]
    for outputs, options, words in cases:
        with pytest.raises(FusionError, match=words):
            fuse_pairs(fuser, pairs, outputs, options)
    assert not out.exists()


def test_pictures_too_large_for_the_memory_are_refused_by_their_headers(tmp_path, monkeypatch):
    pairs = make_pairs(tmp_path, [(300, 400)])
    monkeypatch.setattr(folder, "read_picture", lambda *args: pytest.fail("was decoded"))
    (outcome,) = fuse_pairs(Fuser(maximum, memory="1MiB"), pairs, [tmp_path / "a.png"])
    assert "400x300" in outcome.message
    assert "`memory`" in outcome.message


def test_what_is_in_flight_is_bounded(tmp_path, monkeypatch):
    pairs = make_pairs(tmp_path, [(50, 50 + i) for i in range(12)])
    held, most, lock = set(), [0], threading.Lock()

    def read(path, *args):
        with lock:
            held.add(path.stem)
            most[0] = max(most[0], len(held))
        return read_picture(path, *args)

    def write(path, picture, *how):
        note = write_picture(path, picture, *how)
        with lock:
            held.discard(path.stem)
        return note

    monkeypatch.setattr(folder, "read_picture", read)
    monkeypatch.setattr(folder, "write_picture", write)
    one_pair = 50 * 60 * 7
    monkeypatch.setattr(folder, "IN_FLIGHT_SHARE", 2.5 * one_pair / 2**30)
    outcomes = fuse_pairs(Fuser(maximum, memory="1GiB"), pairs, outputs_in(tmp_path, pairs))
    assert {o.status for o in outcomes} == {"fused"}
    assert 1 <= most[0] <= 3


def test_where_results_go(tmp_path):
    pairs = [Pair("day/1", Path("a"), Path("b")), Pair("run.2", Path("a"), Path("b"))]
    folder_ = tmp_path / "v1.5"
    assert output_paths(pairs, str(folder_), many=True, extension=".tif") == [
        folder_ / "day/1.tif",
        folder_ / "run.2.tif",
    ]
    single = pairs[1:]
    assert output_paths(single, str(tmp_path / "x.png"), many=False) == [tmp_path / "x.png"]
    for folder_name in (str(tmp_path), "new", "new.png/"):
        assert output_paths(single, folder_name, many=False) == [Path(folder_name) / "run.2.png"]
    (tmp_path / "file").touch()
    with pytest.raises(FusionError, match="give a folder"):
        output_paths(pairs, "fused.png", many=True)
    with pytest.raises(FusionError, match="give a folder"):
        output_paths(pairs, str(tmp_path / "file"), many=True)
    with pytest.raises(FusionError, match="extension"):
        output_paths(single, "fused.gif", many=False)


def test_raw_counts_are_noticed_and_go_through_a_gain(tmp_path, fuser):
    counts = image(40, 50, dtype=np.uint16) // 40 + 20_000  # a thermal sensor of 14 bits
    write_picture(tmp_path / "ir.png", Picture(counts))
    write_picture(tmp_path / "vis.png", Picture(image(40, 50, 3) // 4))
    pairs = [Pair("a", tmp_path / "ir.png", tmp_path / "vis.png")]
    (dull,) = fuse_pairs(fuser, pairs, [tmp_path / "a.png"], Plan(thermal=Thermal(agc="off")))
    assert "`agc` linear" in dull.message
    (automatic,) = fuse_pairs(fuser, pairs, [tmp_path / "b.png"])
    assert "plateau" in automatic.message
    (linear,) = fuse_pairs(fuser, pairs, [tmp_path / "c.png"], Plan(thermal=Thermal(agc="linear")))
    assert linear.message == ""
    spans = [np.ptp(read_picture(outcome.output).pixels) for outcome in (dull, automatic, linear)]
    assert spans[0] < min(spans[1:])


def test_raw_counts_of_the_visible_place_go_through_a_gain_on_request(tmp_path, fuser):
    write_picture(tmp_path / "ir.png", Picture(image(40, 50)))
    write_picture(tmp_path / "vis.png", Picture(image(40, 50, 3, dtype=np.uint16) // 20))
    pairs = [Pair("a", tmp_path / "ir.png", tmp_path / "vis.png")]
    (dull,) = fuse_pairs(fuser, pairs, [tmp_path / "a.png"])
    assert "`agc_visible` linear" in dull.message
    (bright,) = fuse_pairs(fuser, pairs, [tmp_path / "b.png"], Plan(agc_visible="linear"))
    assert bright.message == ""
    assert read_picture(dull.output).pixels.mean() < read_picture(bright.output).pixels.mean()
    for wrong in ("auto", "window:20..30C", "bright"):
        with pytest.raises(FusionError, match="gain control"):
            fuse_pairs(fuser, pairs, [tmp_path / "c.png"], Plan(agc_visible=wrong))
    (outside,) = fuse_pairs(fuser, pairs, [tmp_path / "c.png"], Plan(agc_visible="window:9000..9900"))
    assert "vis.png: window" in outside.message
    assert not (tmp_path / "c.png").exists()
