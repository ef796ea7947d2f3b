import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fsidfusion.evaluation.boxes import Boxes, overlap, suppress
from fsidfusion.studies.downstream.detection.canvas import Chances, disturb, fit
from fsidfusion.studies.downstream.detection.targets import decode, draw_targets, encode, generalised_overlap

coordinate = st.floats(0, 60, width=32)
corners = st.tuples(coordinate, coordinate, st.floats(0.5, 40, width=32), st.floats(0.5, 40, width=32)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@st.composite
def found_boxes(draw, most=12):
    boxes = draw(st.lists(st.tuples(corners, st.integers(0, 2), st.integers(0, 20)), max_size=most))
    return Boxes(
        np.array([box for box, _, _ in boxes], np.float32).reshape(-1, 4),
        np.array([number for _, number, _ in boxes], np.int64),
        np.array([likely / 20 for _, _, likely in boxes], np.float32),
    )


def plain_overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@given(st.lists(corners, min_size=1, max_size=6), st.sampled_from((1, 4, 8)))
def test_boxes_survive_coding_at_every_cell_that_they_hold(boxes, stride):
    height, width = 12, 14
    for box in boxes:
        grid = torch.tensor(box).reshape(4, 1, 1).expand(4, height, width)
        x = (torch.arange(width) + 0.5) * stride
        y = (torch.arange(height) + 0.5)[:, None] * stride
        inside = (x > box[0] + 1e-2) & (x < box[2] - 1e-2) & (y > box[1] + 1e-2) & (y < box[3] - 1e-2)
        coded = torch.where(inside, encode(grid, stride), 0.0)
        restored = decode(coded, stride)
        torch.testing.assert_close(restored[:, inside], grid[:, inside], atol=1e-3, rtol=1e-4)


@given(st.lists(corners, min_size=1, max_size=5), st.lists(corners, min_size=1, max_size=5))
def test_overlap_is_that_of_its_definition(ours, theirs):
    expected = [[plain_overlap(a, b) for b in theirs] for a in ours]
    result = overlap(np.array(ours, np.float32), np.array(theirs, np.float32))
    np.testing.assert_allclose(result, expected, atol=1e-4)


@given(corners, corners)
def test_generalised_overlap_is_overlap_less_the_empty_share_of_the_hull(a, b):
    result = float(generalised_overlap(torch.tensor(a), torch.tensor(b)))
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    iou = plain_overlap(a, b)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) / (1 + iou)
    np.testing.assert_allclose(result, iou - (hull - union) / hull, atol=1e-3)
    assert -1 <= result <= 1 + 1e-6


@given(found_boxes(), st.sampled_from((0.3, 0.5, 0.8)))
def test_suppression_is_that_of_brute_force(found, limit):
    left = sorted(range(len(found)), key=lambda place: (-found.scores[place], place))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        rest = []
        for place in left:
            same = found.classes[place] == found.classes[best]
            clash = overlap(found.corners[[best]], found.corners[[place]])[0, 0] > limit
            if not (same and clash):
                rest.append(place)
        left = rest
    result = suppress(found, limit)
    np.testing.assert_array_equal(result.corners, found.corners[kept])
    np.testing.assert_array_equal(result.classes, found.classes[kept])


def test_targets_peak_at_the_centres_and_small_boxes_lie_above():
    boxes = Boxes.true([(0, 0, 64, 48), (20, 20, 28, 28)], (1, 0))
    targets = draw_targets(boxes, 2, 12, 16, 4)
    assert targets.heat[1, 6, 8] == targets.heat[0, 6, 6] == 1
    assert (targets.heat == 1).sum() == 2
    np.testing.assert_array_equal(targets.corners[:, 6, 6], boxes.corners[1])
    np.testing.assert_array_equal(targets.corners[:, 6, 8], boxes.corners[0])
    assert targets.weights[6, 6] > 0 and targets.weights[0, 0] == 0
    assert targets.heat.max() <= 1 and targets.heat.min() >= 0


@given(found_boxes(6))
def test_every_box_has_a_cell_that_learns_it(found):
    boxes = Boxes.true(found.corners, found.classes)
    targets = draw_targets(boxes, 3, 26, 26, 4)
    for place, box in enumerate(boxes.corners):
        column, row = (int((box[side] + box[side + 2]) / 8) for side in (0, 1))
        assert targets.heat[boxes.classes[place], row, column] == 1
        assert targets.weights[row, column] > 0


@given(st.integers(0, 2**31))
def test_boxes_follow_their_pixels_through_every_change(seed):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[12:30, 20:44] = 255
    canvas = fit(frame, Boxes.true([(20, 12, 44, 30)], [0]), (48, 64))
    moved = disturb(canvas, Chances(gain=0, offset=0), np.random.default_rng(seed))
    white = moved.pixels[..., 0] > 160  # the rim outside the frame is darker
    for x0, y0, x1, y1 in moved.boxes.corners:
        rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
        seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        np.testing.assert_allclose((x0, y0, x1, y1), seen, atol=1.5)


def test_a_frame_of_other_proportions_is_scaled_as_a_whole():
    frame = np.full((30, 100, 4), 200, np.uint8)
    canvas = fit(frame, Boxes.true([(0, 0, 100, 30)], [0]), (48, 64))
    assert canvas.pixels.shape == (48, 64, 4) and canvas.scale == 0.64
    np.testing.assert_allclose(canvas.boxes.corners[0], (0, 0, 64, 19.2), atol=1e-4)
