"""Car bodies: a side view per kind of car, lofted through cross-sections into flat faces."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from fsidfusion.studies.scenes.texture import Array

Pair = tuple[float, float]

PAINTED, GLASS, PLASTIC, TYRE, RIM, HEADLAMP, TAILLAMP, GRILLE, PLATE, SEAM = range(10)  # materials


@dataclass(frozen=True)
class CarShape:
    """A side view in metres; s runs along the car, 0 in its middle, the front is positive."""

    outline: tuple[Pair, ...]  # s, height of the upper edge from the rear bumper to the front one
    screen: Pair  # range of s of the windscreen,
    rear: Pair  # of the rear window
    sides: tuple[Pair, ...]  # and of the side windows
    belt: float  # height at which the windows begin
    half_width: float
    lean: float = 0.36  # how far the side windows lean inwards


SHAPES = {
    "saloon": CarShape(
        ((-2.30, 0.72), (-2.24, 0.98), (-1.72, 1.05), (-1.00, 1.40), (-0.40, 1.46),
         (0.15, 1.43), (1.02, 1.01), (1.85, 0.89), (2.18, 0.76), (2.30, 0.55)),
        (0.20, 0.96), (-1.64, -1.06), ((-1.30, -0.98), (-0.92, -0.18), (-0.08, 0.74)), 0.95, 0.90,
    ),
    "hatchback": CarShape(
        ((-2.00, 0.74), (-1.95, 1.02), (-1.86, 1.10), (-1.42, 1.42), (-0.50, 1.52),
         (0.15, 1.48), (1.00, 1.05), (1.66, 0.93), (1.94, 0.78), (2.02, 0.55)),
        (0.20, 0.94), (-1.82, -1.46), ((-1.52, -1.06), (-0.98, -0.20), (-0.10, 0.72)), 0.98, 0.88,
    ),
    "suv": CarShape(
        ((-2.25, 0.80), (-2.20, 1.15), (-2.10, 1.24), (-1.78, 1.60), (-0.60, 1.70),
         (0.20, 1.66), (1.02, 1.20), (1.92, 1.08), (2.20, 0.92), (2.28, 0.62)),
        (0.26, 0.96), (-2.06, -1.80), ((-1.86, -1.16), (-1.08, -0.20), (-0.10, 0.76)), 1.12, 0.94,
    ),
    "van": CarShape(
        ((-2.45, 0.90), (-2.42, 1.60), (-2.36, 1.88), (-1.90, 1.95), (0.60, 1.95),
         (0.95, 1.90), (1.72, 1.22), (2.20, 1.02), (2.38, 0.85), (2.45, 0.58)),
        (0.98, 1.66), (-2.42, -2.39), ((-0.90, 0.02), (0.22, 1.16)), 1.18, 0.98, 0.10,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Loft:
    """Faces of a body: corners (n, 4, 3) as s, height, side; normals (n, 3); material, bonnet 0..1 (n,)."""

    corners: Array
    normals: Array
    material: Array
    bonnet: Array


@cache
def loft(kind: str, stations: int) -> Loft:
    """Build the body of one kind of car, both halves, closed at its ends; more `stations` are smoother."""
    shape = SHAPES[kind]
    outline = np.array(shape.outline)
    front, back = outline[-1, 0], outline[0, 0]
    cuts = [end for pair in (shape.screen, shape.rear, *shape.sides) for end in pair]
    s = np.unique(np.round(np.concatenate([np.linspace(back, front, stations), outline[:, 0], cuts]), 3))
    s = s[np.concatenate([[True], np.diff(s) > 0.018 + 0.4 / stations**2])]
    dense = np.linspace(back, front, 400)
    kernel = np.hanning(19) / np.hanning(19).sum()
    smooth = np.convolve(
        np.pad(np.interp(dense, outline[:, 0], outline[:, 1]), 9, mode="edge"), kernel, "valid"
    )
    top = np.interp(s, dense, smooth)
    end = np.abs(s - (front + back) / 2) / ((front - back) / 2)
    width = shape.half_width * (1 - 0.30 * np.clip((end - 0.80) / 0.20, 0, 1) ** 2.2 - 0.03 * end**2)
    bottom = 0.21 + 0.16 * np.clip((end - 0.90) / 0.10, 0, 1) ** 1.5
    shoulder = np.minimum(shape.belt, top - 0.05)
    cabin = np.maximum(top - shape.belt - 0.06, 0)
    roof = width * np.where(cabin > 0, 0.93 - shape.lean * cabin, 0.90)
    section = [  # height and half-width of the corners from the sill to the middle of the roof
        (bottom, 0.88 * width),
        (bottom + 0.10, 0.985 * width),
        (0.5 * (bottom + shoulder) - 0.05, width),
        (shoulder - 0.10, 0.985 * width),
        (shoulder, 0.945 * width),
        (shoulder + 0.88 * np.maximum(top - 0.045 - shoulder, 0.004), 0.88 * roof + 0.1134 * width),
        (top - 0.035, roof * 0.965),
        (top - 0.008, 0.86 * roof),
        (top, 0.45 * roof),
        (top + 0.004, 0 * roof),
    ]
    grid = np.stack([np.stack([s, y, x], axis=-1) for y, x in section])  # (rows, stations, 3)

    middle = (s[1:] + s[:-1]) / 2
    materials = np.full((len(section) - 1, len(middle)), PAINTED)
    materials[0] = PLASTIC
    for start, stop in shape.sides:
        materials[4, (middle > start) & (middle < stop)] = GLASS
    for start, stop in (shape.screen, shape.rear):
        materials[7:9, (middle > start) & (middle < stop)] = GLASS
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)
    half = quads.reshape(-1, 4, 3)
    mirror = np.array([1, 1, -1])
    low, high = grid[:-1, [0, -1]], grid[1:, [0, -1]]
    ends = np.stack([low, high, high * mirror, low * mirror], axis=2).reshape(-1, 4, 3)
    end_material = np.repeat(np.where(np.arange(len(section) - 1) > 0, PAINTED, PLASTIC), 2)
    corners = np.concatenate([half, half[:, ::-1] * mirror, ends])
    material = np.concatenate([materials.ravel(), materials.ravel(), end_material])

    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    centre = corners.mean(1)
    spine = np.column_stack(
        [np.clip(centre[:, 0], back + 0.6, front - 0.6), np.full(len(centre), 0.6), 0 * centre[:, 2]]
    )
    normals *= np.where((normals * (centre - spine)).sum(1) < 0, -1, 1)[:, None]
    bonnet = np.clip((centre[:, 0] - shape.screen[1] + 0.15) / 0.5, 0, 1)
    return Loft(corners, normals, material, bonnet)
