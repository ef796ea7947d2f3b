import cv2
import numpy as np
import pytest

from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.fixed_marks import FixedMarks
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import ThermalStream

SIZE = (160, 200)


@pytest.fixture(scope="module")
def wide():
    """A rendered infrared picture (320, 560) that is wider than the frames."""
    return render_scene(4, (320, 560), time_of_day="day", smoke=False).infrared


def marks():
    """A logo, a scale with a frame, and a number, each at its place: (160, 200)."""
    drawn = np.zeros(SIZE, np.uint8)
    cv2.circle(drawn, (20, 20), 9, 255, 2)
    cv2.rectangle(drawn, (184, 40), (192, 120), 255, 1)
    cv2.putText(drawn, "21.5", (8, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    return drawn > 0


def frames(wide, mask, speed, part=0.4):
    rng = np.random.default_rng(0)
    for index in range(30):
        left = abs((speed * index) % 720 - 360)
        top = int(80 + 80 * np.sin(speed * index / 60))
        frame = wide[top : top + SIZE[0], left : left + SIZE[1]].astype(np.float32)
        frame[mask] += part * (255 - frame[mask])
        yield (frame + rng.normal(0, 2, SIZE)).clip(0, 255).astype(np.uint8)


def told(shown):
    watch, found = FixedMarks(), None
    for index, frame in enumerate(shown):
        found = watch(frame, 0.25 * index)
    return found


def test_half_transparent_marks_are_found_while_the_scene_moves(wide):
    mask = marks()
    found = told(frames(wide, mask, 12))
    assert found[mask].mean() > 0.8
    assert found[cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0].mean() < 0.01


def test_a_scene_that_moves_has_no_marks(wide):
    assert told(frames(wide, np.zeros(SIZE, bool), 12)) is None


def test_a_fixed_camera_keeps_its_view(wide):
    assert told(frames(wide, marks(), 0)) is None

    def with_people():
        for index, frame in enumerate(frames(wide, np.zeros(SIZE, bool), 0)):
            frame[60:120, 6 * index : 6 * index + 20] = 240
            yield frame

    assert told(with_people()) is None


def test_marks_count_as_not_measured_in_a_video_unless_palette_is_given(wide):
    mask = marks()
    for palette, found in (("auto", True), ("none", False)):
        stream = ThermalStream(Thermal(palette=palette), "ir.mp4")
        for index, frame in enumerate(frames(wide, mask, 12)):
            stream(frame, 0.25 * index)
        assert ("stays in place" in stream.note) == found
        assert (stream.known is not None and not stream.known[mask].mean() > 0.2) == found


def test_frames_of_another_size_begin_anew(wide):
    watch = FixedMarks()
    for index, frame in enumerate(frames(wide, marks(), 12)):
        watch(frame, 0.25 * index)
    assert watch(wide, 9.0) is None
