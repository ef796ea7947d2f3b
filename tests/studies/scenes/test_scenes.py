"""Rendered scenes: the same in every run, true to their boxes, masks and labels, and worth fusing."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fsidfusion.errors import FusionError
from fsidfusion.studies.scenes import CLASSES, PLACES, TIMES, Scene, render_scene
from fsidfusion.studies.scenes.cameras import take_pictures
from fsidfusion.studies.scenes.canvas import Camera, Canvas
from fsidfusion.studies.scenes.examples import EXAMPLES, render_examples
from fsidfusion.studies.scenes.houses import GLYPHS, WORDS
from fsidfusion.studies.scenes.places import compose

ROOT = Path(__file__).resolve().parents[3]
SMALL = (120, 160)
LABELS = {"car": 1, "person": 2, "bicycle": 3}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    """The examples, rendered once."""
    return render_examples()


def same(a: Scene, b: Scene) -> bool:
    pictures = ("infrared", "visible", "labels")
    return all(np.array_equal(getattr(a, p), getattr(b, p)) for p in pictures) and [
        o.box for o in a.objects
    ] == [o.box for o in b.objects]


def test_a_seed_names_one_scene() -> None:
    first = render_scene(5, SMALL)
    render_scene(6, SMALL)  # what was drawn before must not matter
    assert same(first, render_scene(5, SMALL))
    assert not np.array_equal(first.visible, render_scene(6, SMALL).visible)


@settings(max_examples=12)
@example(seed=38, height=96, width=128)
@given(seed=st.integers(0, 10_000), height=st.integers(96, 190), width=st.integers(128, 260))
def test_truth_fits_the_pictures_at_any_size(seed: int, height: int, width: int) -> None:
    scene = render_scene(seed, (height, width))
    assert scene.infrared.shape == scene.labels.shape == (height, width)
    assert scene.visible.shape == (height, width, 3)
    assert scene.infrared.dtype == scene.visible.dtype == scene.labels.dtype == np.uint8
    assert scene.time_of_day in TIMES and scene.place in PLACES
    assert scene.labels.max() < len(CLASSES)
    taken = np.zeros((height, width), bool)
    for thing in scene.objects:
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        rows, columns = np.nonzero(thing.mask)
        assert thing.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (scene.labels[thing.mask] == LABELS[thing.category]).all()
        assert not (taken & thing.mask).any()  # what hides another takes its pixels
        assert 0.2 <= thing.visibility <= 1
        taken |= thing.mask
    assert np.array_equal(taken, np.isin(scene.labels, list(LABELS.values())))


def test_a_scene_keeps_its_composition_at_another_size() -> None:
    small, large = render_scene(12, (120, 160)), render_scene(12, (240, 320))
    shrunk = cv2.resize(large.infrared, (160, 120), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.infrared.ravel())[0, 1] > 0.97
    people = [sum(o.category == "person" for o in s.objects) for s in (small, large)]
    assert 0 < people[0] <= people[1]


def test_every_class_is_drawn_somewhere() -> None:
    wanted = {"street": 38, "crossing": 58, "parking": 4, "drone": 3}
    seen = set()
    for place, seed in wanted.items():
        seen |= set(np.unique(render_scene(seed, (240, 320), place=place).labels).tolist())
    assert seen == set(range(len(CLASSES)))


@pytest.mark.parametrize("seed", [0, 20, 29])
def test_people_are_warmer_than_what_is_around_them_at_night(seed: int) -> None:
    scene = render_scene(seed, (240, 320), time_of_day="night", smoke=False)
    people = [o.mask for o in scene.objects if o.category == "person" and o.mask.sum() > 60]
    assert people
    for mask in people:
        around = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
        around &= ~np.isin(scene.labels, (1, 2))
        assert scene.infrared[mask].mean() > np.median(scene.infrared[around]) + 20


def test_day_is_brighter_than_dusk_and_dusk_than_night() -> None:
    seeds = (0, 2, 3)
    light = {
        t: [render_scene(s, SMALL, time_of_day=t, smoke=False).visible.mean() for s in seeds] for t in TIMES
    }
    assert np.mean(light["day"]) > np.mean(light["dusk"]) + 10 > np.mean(light["night"]) + 20
    assert all(day > night + 20 for day, night in zip(light["day"], light["night"]))


@pytest.mark.parametrize("time_of_day", ["day", "dusk"])
def test_smoke_hides_in_the_visible_and_hardly_in_the_infrared(time_of_day: str) -> None:
    layout = compose(153, (240, 320), time_of_day, smoke=True, place="crossing")
    canvas = layout.paint()
    smoky = take_pictures(canvas, np.random.default_rng(1), layout.plumes)
    clear = take_pictures(canvas, np.random.default_rng(1), [])
    changed = np.abs(smoky[1].astype(int) - clear[1]).mean(-1) > 25
    fire = cv2.dilate((smoky[0] > 235).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    within = (cv2.blur(changed.astype(np.float32), (15, 15)) > 0.7) & ~fire
    assert within.mean() > 0.1

    def detail(picture: np.ndarray) -> float:
        gray = picture.reshape(*picture.shape[:2], -1).mean(-1, dtype=np.float32)
        return float((gray - cv2.GaussianBlur(gray, (0, 0), 3))[within].std())

    assert detail(smoky[1]) < 0.5 * detail(clear[1])
    assert detail(smoky[0]) > 0.8 * detail(clear[0])


def test_smoke_is_drawn_when_asked_for() -> None:
    assert render_scene(1, SMALL, smoke=True).smoke
    assert not render_scene(1, SMALL, smoke=False).smoke


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (64, 128)}, "64x128 is too small: give at least 96x128"),
        ({"time_of_day": "noon"}, "unknown time of day 'noon': give one of day, dusk, night"),
        ({"place": "moon"}, "unknown place 'moon': give one of street"),
    ],
)
def test_wrong_wishes_are_named(options: dict, message: str) -> None:
    with pytest.raises(FusionError, match=message):
        render_scene(0, **options)


@given(
    pitch=st.floats(-0.1, 0.8), depth=st.floats(1, 200), row=st.integers(0, 95), column=st.integers(0, 127)
)
def test_projecting_a_point_of_a_ray_gives_its_pixel(
    pitch: float, depth: float, row: int, column: int
) -> None:
    camera = Camera((96, 128), 2.0, pitch, 140.0)
    x, y, z = camera.columns[0, column], camera.rows[row, 0], camera.rows_z[row, 0]
    pixel, distance = camera.project((depth * x, camera.height + depth * y, depth * z))
    assert pixel == pytest.approx((column + 0.5, row + 0.5), abs=1e-2)
    assert distance == pytest.approx(depth, rel=1e-4)


def test_a_polygon_covers_its_area() -> None:
    layout = compose(0, SMALL, "day", False, "street")
    canvas = Canvas(layout.camera, layout.setting)
    (left, top), alpha = canvas.polygon([(20.25, 30.5), (50.75, 30.5), (50.75, 70.0), (20.25, 70.0)])
    assert 30.5 * 39.5 <= alpha.sum() <= 31.5 * 42.0
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]] + 0.5
    middle = left + (alpha * columns).sum() / alpha.sum(), top + (alpha * rows).sum() / alpha.sum()
    assert middle == pytest.approx((35.5, 50.25), abs=0.3)
    assert canvas.polygon([(-90, -90), (-50, -90), (-50, -50)]) is None


def test_every_letter_of_the_shop_signs_has_a_shape() -> None:
    assert set("".join(WORDS)) - {" "} <= set(GLYPHS)


def test_the_example_files_are_what_the_renderer_draws(pictures: dict[str, np.ndarray]) -> None:
    folder = ROOT / "examples"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")} == set(pictures)
    for name, picture in pictures.items():
        stored = np.asarray(Image.open(folder / name))
        assert stored.shape == picture.shape
        difference = np.abs(stored.astype(int) - picture)
        # Another processor or OpenCV may round a little differently; a changed scene is far off.
        assert np.mean(difference > 2) < 0.01, name
    assert sum(p.stat().st_size for p in folder.rglob("*.png")) < 4e6


def test_the_examples_show_people_that_only_one_camera_sees() -> None:
    gain = []
    for seed, place, time_of_day, smoke in EXAMPLES.values():
        scene = render_scene(seed, (240, 320), time_of_day, smoke, place)
        gray = scene.visible @ np.array([0.299, 0.587, 0.114])
        for thing in scene.objects:
            around = (
                cv2.dilate(thing.mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~thing.mask
            )
            thermal, visual = (abs(p[thing.mask].mean() - p[around].mean()) for p in (scene.infrared, gray))
            gain.append((thing.category, thermal - visual))
    assert max(g for c, g in gain if c == "person") > 60  # seen in the infrared only
    assert min(g for c, g in gain if c == "car") < -20  # a cold car, seen in the visible only


def test_the_module_renders_them_into_a_folder(pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fsidfusion.studies.scenes"]
    search = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == len(pictures)
    for name, picture in pictures.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), picture), name
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "usage" in wrong.stderr
