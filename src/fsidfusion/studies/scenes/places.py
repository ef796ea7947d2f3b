"""From a seed to a whole scene: the lots that are drawn for a street, a crossing, a car park, a park."""

import numpy as np

from fsidfusion.studies.scenes.canvas import Camera
from fsidfusion.studies.scenes.carbody import SHAPES
from fsidfusion.studies.scenes.cars import Car
from fsidfusion.studies.scenes.ground import BAY_COUNT, BAY_DEPTH, BAY_START, BAY_WIDTH, Road
from fsidfusion.studies.scenes.layout import Layout
from fsidfusion.studies.scenes.people import Pose
from fsidfusion.studies.scenes.smoke import Plume
from fsidfusion.studies.scenes.texture import Array
from fsidfusion.studies.scenes.weather import TIMES, choose_setting

PLACES = ("street", "crossing", "parking", "park", "drone")
LAMP_COLOURS = ((1.0, 0.72, 0.42), (1.0, 0.86, 0.68), (0.86, 0.93, 1.0))
TURN = 2 * np.pi


def compose(
    seed: int, size: tuple[int, int], time_of_day: str | None, smoke: bool | None, place: str | None
) -> Layout:
    """Draw a whole scene by lot; what is None is drawn too."""
    rng = np.random.default_rng((seed, 0))
    drawn_time = str(rng.choice(TIMES, p=[0.35, 0.15, 0.5]))
    drawn_place = str(rng.choice(PLACES, p=[0.35, 0.25, 0.15, 0.15, 0.10]))
    drawn_smoke = bool(rng.random() < 0.18)
    place = place or drawn_place
    setting = choose_setting(rng, time_of_day or drawn_time)
    focal = 640 * rng.uniform(0.85, 1.3) * float(np.sqrt(size[0] * size[1] / (480 * 640)))
    height, pitch = rng.uniform(1.35, 2.7), rng.uniform(-0.03, 0.06)
    if place == "drone":
        height, pitch = rng.uniform(12, 22), rng.uniform(0.45, 0.8)
    elif place == "parking":
        height, pitch = rng.uniform(2.2, 4.5), rng.uniform(0.04, 0.14)
    town = place != "park" or rng.random() < 0.4
    layout = Layout(rng, place, Camera(size, height, pitch, focal), setting, _choose_road(rng, place), town)
    if layout.road.surface == "parking":
        _fill_car_park(layout)
    else:
        for side in (-1, 1):
            _line_roadside(layout, side)
        _add_lamps_and_signs(layout)
        if layout.road.surface == "asphalt":
            _add_traffic(layout)
            _add_parked_cars(layout)
            _add_road_works(layout)
    _add_bicycles(layout)
    _add_people(layout)
    if drawn_smoke if smoke is None else smoke:
        _add_smoke(layout)
    return layout


def _choose_road(rng: np.random.Generator, place: str) -> Road:
    offset, bend = rng.uniform(-3.2, 3.2), rng.uniform(-0.0022, 0.0022)
    start, length = rng.uniform(8, 15), rng.uniform(3, 4)
    if place == "parking" or (place == "drone" and rng.random() < 0.5):
        bays = (3.2, -3.2) if place == "parking" else (3.2, -3.2, 14.4, -14.4)
        return Road(0.5 * offset, 40.0, 0.0, 2.0, "parking", 1, bays=bays)
    if place == "park":
        surface = "gravel" if rng.random() < 0.6 else "plain"
        return Road(0.6 * offset, rng.uniform(1.8, 3.2), 2 * bend, 0.0, surface, 1)
    lanes = int(rng.choice([2, 2, 3, 4]))
    crossing = (start, start + length) if place == "crossing" or rng.random() < 0.15 else None
    bump = rng.uniform(10, 22) if crossing is None and rng.random() < 0.25 else None
    half_width = 1.7 * lanes + rng.uniform(0.3, 1.2)
    return Road(offset, half_width, bend, rng.uniform(2.2, 4.5), "asphalt", lanes, crossing, bump)


def _line_roadside(layout: Layout, side: int) -> None:
    """Houses or trees, hedges and guardrails along one side of the road; `side` is -1 for the left."""
    rng, road = layout.rng, layout.road
    paved = road.half_width + 0.22 + road.pavement
    if layout.place in ("street", "crossing"):
        kind = str(rng.choice(["houses", "trees", "open"], p=[0.62, 0.28, 0.10]))
    else:
        kind = str(rng.choice(["trees", "open"], p=[0.8, 0.2]))
    spacing, z = rng.uniform(6, 11), rng.uniform(4, 14)
    if kind == "houses":
        _add_houses(layout, side, paved + rng.uniform(0.0, 1.5))
    in_row = kind == "houses" and road.pavement > 3 and spacing > 8.5
    while (kind == "trees" or in_row) and z < 70:
        beside = paved - 0.9 if in_row else paved + rng.uniform(1.0, 7.0)
        layout.add_tree(layout.along(z, side * beside), z, rng.uniform(4.5, 6.5 if in_row else 10.0))
        z += spacing * rng.uniform(0.8, 1.3)
    if kind != "houses" and rng.random() < 0.6:
        layout.add_hedge(side * (paved + rng.uniform(0.9, 1.4)))
    if kind == "open" or rng.random() < 0.22:
        layout.add_guardrail(side * (road.half_width + 0.35))


def _add_houses(layout: Layout, side: int, distance: float) -> None:
    """A row of houses along the road, some of them apart."""
    rng = layout.rng
    z, nearer = rng.uniform(-4, 6), 0.0
    while z < 75:
        length, height = rng.uniform(8, 18), rng.uniform(7.0, 19.0)
        x0, x1 = layout.along(z, side * distance), layout.along(z + length, side * distance)
        outer = side * 11
        corners = [(x0, z), (x1, z + length), (x1 + outer, z + length), (x0 + outer, z)]
        shop = bool(rng.random() < 0.6)
        if z + length > 3:
            layout.add_house(corners, height, shop, hidden=height <= nearer)
        alley = rng.uniform(2.5, 7) if rng.random() < 0.3 else 0.0
        z, nearer = z + length + alley, 0.0 if alley else height


def _lamp_colour(rng: np.random.Generator) -> Array:
    return np.array(LAMP_COLOURS[rng.integers(len(LAMP_COLOURS))])


def _add_lamps_and_signs(layout: Layout) -> None:
    rng, road = layout.rng, layout.road
    colour = _lamp_colour(rng)
    z, side = rng.uniform(7, 15), int(rng.choice([-1, 1]))
    spacing = rng.uniform(13, 19) if rng.random() < 0.6 else rng.uniform(28, 45)
    while z < 75:
        layout.add_lamp(layout.along(z, side * (road.half_width + 0.6)), z, -side * 1.4, colour)
        side, z = -side, z + spacing * rng.uniform(0.95, 1.1)
    for _ in range(rng.integers(0, 3)):
        z, side = rng.uniform(6, 28), int(rng.choice([-1, 1]))
        x = layout.along(z, side * (road.half_width + 0.7))
        if layout.free(x, z, 0.6):
            layout.add_sign(x, z)


def _add_traffic(layout: Layout) -> None:
    """Cars in their lanes: to the right away from the camera, to the left towards it."""
    rng, road = layout.rng, layout.road
    width = 2 * road.half_width / road.lanes
    for lane in range(road.lanes):
        turned = 0.0 if lane >= road.lanes / 2 else np.pi
        z = rng.uniform(8, 34)
        while z < 85:
            x = layout.along(z, (lane + 0.5) * width - road.half_width + rng.uniform(-0.25, 0.25))
            heading = float(np.arctan(2 * road.bend * z)) + turned + rng.normal(0, 0.02)
            kind = str(rng.choice(list(SHAPES), p=[0.35, 0.3, 0.23, 0.12]))
            lit = bool(layout.setting.lamps > 0 or rng.random() < 0.2)
            blocked = road.crossing is not None and road.crossing[0] - 5.0 < z < road.crossing[1] + 4.5
            if rng.random() < 0.62 and not blocked and layout.free(x, z, 2.5):
                layout.add_car(Car(x, z, heading, kind, rng.uniform(0.6, 1.0), lit))
            z += rng.uniform(9, 30)


def _add_parked_cars(layout: Layout) -> None:
    """Cars on the pavement, most of them cold."""
    rng, road = layout.rng, layout.road
    for side in (-1, 1):
        z = rng.uniform(5, 16)
        if rng.random() < 0.55 or road.pavement < 2.8:
            continue
        while z < 50:
            x = layout.along(z, side * (road.half_width + 1.15))
            heading = float(np.arctan(2 * road.bend * z)) + (0.0 if side > 0 else np.pi)
            kind, engine = str(rng.choice(list(SHAPES)[:3])), float(rng.choice([0.0, 0.0, 0.05, 0.5]))
            if rng.random() < 0.7 and layout.free(x, z, 2.3):
                layout.add_car(Car(x, z, heading, kind, engine, False))
            z += rng.uniform(5.4, 9)


def _add_road_works(layout: Layout) -> None:
    """Sometimes a row of cones that closes a lane."""
    rng, road = layout.rng, layout.road
    start, side = rng.uniform(6, 16), int(rng.choice([-1, 1]))
    for k in range(rng.integers(2, 7) if rng.random() < 0.3 else 0):
        z = start + 1.7 * k
        x = layout.along(z, side * (road.half_width - 0.5 - 0.25 * k))
        if layout.free(x, z, 0.5):
            layout.add_cone(x, z)


def _add_bicycles(layout: Layout) -> None:
    """Riders at the edge of the road or across it, and bicycles left on the pavement."""
    rng, road = layout.rng, layout.road
    wanted = int(rng.integers(0, 4))
    for _ in range(12):
        z, side, rides = rng.uniform(7, 30), int(rng.choice([-1, 1])), rng.random() < 0.65
        across = road.half_width - rng.uniform(0.3, 1.0) if rides else road.half_width + rng.uniform(0.8, 2.0)
        x = layout.along(z, side * across)
        heading = (0.0 if side > 0 else np.pi) + rng.normal(0, 0.12)
        if road.surface == "parking":
            x = layout.along(z, rng.uniform(-2.5, 2.5))
        if not rides:
            heading = rng.uniform(0, TURN)
        elif rng.random() < 0.35:  # crossing the road
            heading = float(rng.choice([-1, 1])) * np.pi / 2 + rng.normal(0, 0.3)
        pose = Pose(x, z, heading, rng.uniform(1.6, 1.88), "ride" if rides else "stand", rng.uniform(0, TURN))
        if wanted and layout.in_view(x, z, 0.02) and layout.free(x, z, 0.9):
            layout.add_bicycle(pose)
            wanted -= 1


def _fill_car_park(layout: Layout) -> None:
    """Cars in bays, wheel stops, lamps, cones and a border of trees or a house."""
    rng, road = layout.rng, layout.road
    colour, share = _lamp_colour(rng), rng.uniform(0.45, 0.85)
    for start in road.bays:
        side = 1 if start > 0 else -1
        nose = side if abs(start) < 10 else -side  # the way the bays point
        for k in range(BAY_COUNT):
            x, z = road.offset + start + side * BAY_DEPTH / 2, BAY_START + (k + 0.5) * BAY_WIDTH
            stop = x + nose * (BAY_DEPTH / 2 - 0.55)
            if layout.in_view(stop, z, margin=0.1):
                layout.add_car_stop(stop, z)
            heading = nose * np.pi / 2 + (np.pi if rng.random() < 0.3 else 0.0) + rng.normal(0, 0.03)
            kind = str(rng.choice(list(SHAPES), p=[0.35, 0.3, 0.25, 0.1]))
            engine = float(rng.choice([0.0, 0.0, 0.1, 0.45, 0.9]))
            dx, dz = rng.uniform(-0.25, 0.25), rng.uniform(-0.2, 0.2)
            if rng.random() < share and layout.in_view(x, z, margin=0.3):
                layout.add_car(Car(x + dx, z + dz, heading, kind, engine, False))
    if rng.random() < 0.6:
        x, z = road.offset + rng.uniform(-0.8, 0.8), rng.uniform(12, 30)
        layout.add_car(Car(x, z, float(rng.choice([0, np.pi])), "saloon", 1.0, True))
    for z in (rng.uniform(14, 18), rng.uniform(32, 40)):
        side = int(rng.choice([-1, 1]))
        layout.add_lamp(road.offset + side * 8.7, z, -side * 1.6, colour)
    end = BAY_START + BAY_COUNT * BAY_WIDTH + rng.uniform(3, 8)
    for x in np.arange(-34, 34, rng.uniform(5, 8)).tolist():
        if rng.random() < 0.75:
            layout.add_tree(x, end + rng.uniform(0, 3), rng.uniform(5, 9))
    if rng.random() < 0.7 and layout.place != "drone":
        x, width = rng.uniform(-26, -6), rng.uniform(16, 30)
        near, far = end + 5, end + 16
        corners = [(x, near), (x + width, near), (x + width, far), (x, far)]
        layout.add_house(corners, rng.uniform(8, 15), False)
    for _ in range(rng.integers(0, 4)):
        x, z = road.offset + rng.uniform(-2.5, 2.5), rng.uniform(8, 30)
        if layout.free(x, z, 0.5):
            layout.add_cone(x, z)


def _add_people(layout: Layout) -> None:
    """People on the pavement, on the crossing, between cars and far away; some walk together."""
    rng = layout.rng
    wanted, placed = int(rng.integers(3, 9)), 0
    for attempt in range(60):
        if placed >= wanted:
            break
        near, far = ((6, 16), (8, 34), (15, 60))[attempt % 3]
        x, z, heading = _choose_spot(layout, rng.uniform(near, far))
        action = str(rng.choice(["walk", "stand"], p=[0.72, 0.28]))
        stature = rng.uniform(1.55, 1.9) if rng.random() < 0.88 else rng.uniform(1.05, 1.4)
        if not layout.in_view(x, z, 0.02) or not layout.free(x, z, 0.35):
            continue
        layout.add_person(Pose(x, z, heading, stature, action, rng.uniform(0, TURN)))
        placed += 1
        beside = x + float(rng.choice([-1, 1])) * rng.uniform(0.7, 0.85)
        if rng.random() < 0.3 and layout.place != "drone" and layout.free(beside, z, 0.2):
            stature, turned = rng.uniform(1.5, 1.85), heading + rng.normal(0, 0.08)
            layout.add_person(
                Pose(beside, z + rng.uniform(-0.2, 0.3), turned, stature, action, rng.uniform(0, TURN))
            )
            placed += 1


def _choose_spot(layout: Layout, z: float) -> tuple[float, float, float]:
    """X, Z and heading of a person about Z ahead."""
    rng, road = layout.rng, layout.road
    heading = float(rng.choice([0.0, np.pi])) + rng.normal(0, 0.35)
    side = float(rng.choice([-1, 1]))
    if road.crossing and rng.random() < 0.55:
        z = rng.uniform(*road.crossing)
        return layout.along(z, rng.uniform(-1, 1) * road.half_width), z, side * np.pi / 2 + rng.normal(0, 0.2)
    if road.surface == "parking":
        return layout.along(z, rng.uniform(-9, 9)), z, rng.uniform(0, TURN)
    if not road.pavement:
        return layout.along(z, rng.uniform(-1.6, 1.6) * road.half_width), z, heading
    if rng.random() < 0.15:  # on the road, where nobody expects them
        return layout.along(z, rng.uniform(-1, 1) * road.half_width), z, rng.uniform(0, TURN)
    return layout.along(z, side * (road.half_width + rng.uniform(0.5, road.pavement))), z, heading


def _add_smoke(layout: Layout) -> None:
    """One or two plumes, and people behind each whom only the infrared sees."""
    rng = layout.rng
    for k in range(rng.integers(1, 3)):
        z = rng.uniform(14, 30) if layout.place == "drone" else rng.uniform(8, 15)
        x = layout.along(z, rng.uniform(-3.5, 3.5))
        fire = rng.uniform(0.6, 1.1) if k == 0 and rng.random() < 0.75 else 0.0
        width, height, drift = rng.uniform(3.0, 5.0), rng.uniform(4.5, 8.0), rng.uniform(-2.5, 2.5)
        layout.plumes.append(Plume(x, z, width, height, drift, rng.uniform(0.88, 0.985), fire))
        for _ in range(rng.integers(1, 4)):
            px, pz = x + rng.uniform(-1.6, 1.6), z + rng.uniform(1.2, 4.0)
            action = str(rng.choice(["crouch", "walk", "stand"], p=[0.4, 0.35, 0.25]))
            pose = Pose(px, pz, rng.uniform(0, TURN), rng.uniform(1.6, 1.85), action, rng.uniform(0, TURN))
            if layout.free(px, pz, 0.3):
                layout.add_person(pose)
