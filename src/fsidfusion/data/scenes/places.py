"""From a seed to a whole scene: the lots that are drawn for a street, a crossing, a car park, a park."""

import numpy as np

from fsidfusion.data.scenes.canvas import Camera
from fsidfusion.data.scenes.carbody import SHAPES
from fsidfusion.data.scenes.cars import Car
from fsidfusion.data.scenes.ground import BAY_COUNT, BAY_DEPTH, BAY_START, BAY_WIDTH, Road
from fsidfusion.data.scenes.layout import Generator, Layout
from fsidfusion.data.scenes.people import Pose
from fsidfusion.data.scenes.smoke import Plume
from fsidfusion.data.scenes.street import paint_car_stop
from fsidfusion.data.scenes.weather import TIMES, choose_setting

PLACES = ("street", "crossing", "parking", "park", "drone")


LAMP_COLOURS = ((1.0, 0.72, 0.42), (1.0, 0.86, 0.68), (0.86, 0.93, 1.0))


def compose(
    seed: int, size: tuple[int, int], time_of_day: str | None, smoke: bool | None, place: str | None
) -> Layout:
    """Draw a whole scene by lot; the lots do not depend on the size."""
    rng = np.random.default_rng((seed, 0))
    drawn = (
        str(rng.choice(TIMES, p=[0.35, 0.15, 0.5])),
        bool(rng.random() < 0.18),
        str(rng.choice(PLACES, p=[0.35, 0.25, 0.15, 0.15, 0.10])),
    )
    time_of_day, place = time_of_day or drawn[0], place or drawn[2]
    smoke = drawn[1] if smoke is None else smoke
    setting = choose_setting(rng, time_of_day)
    focal = 640 * rng.uniform(0.85, 1.3) * np.sqrt(size[0] * size[1] / (480 * 640))
    height, pitch = rng.uniform(1.35, 2.7), rng.uniform(-0.03, 0.06)
    if place == "drone":
        height, pitch = rng.uniform(12, 22), rng.uniform(0.45, 0.8)
    elif place == "parking":
        height, pitch = rng.uniform(2.2, 4.5), rng.uniform(0.04, 0.14)
    camera = Camera(size, float(height), float(pitch), float(focal))
    road = _choose_road(rng, place)
    layout = Layout(place, seed, camera, setting, road, town=bool(place != "park" or rng.random() < 0.4))
    if road.surface == "parking":
        _fill_car_park(layout, rng)
    else:
        _line_street(layout, rng)
        _fill_road(layout, rng)
    _add_people(layout, rng)
    if smoke:
        _add_smoke(layout, rng)
    return layout


def _choose_road(rng: Generator, place: str) -> Road:
    offset, bend = rng.uniform(-3.2, 3.2), rng.uniform(-0.0022, 0.0022)
    start = rng.uniform(8, 15)
    if place == "parking" or (place == "drone" and rng.random() < 0.5):
        bays = (3.2, -3.2) if place == "parking" else (3.2, -3.2, 14.4, -14.4)
        return Road(offset * 0.5, 40.0, 0.0, 2.0, "parking", 1, bays=bays)
    if place == "park":
        return Road(
            offset * 0.6, rng.uniform(1.8, 3.2), bend * 2, 0.0, "gravel" if rng.random() < 0.6 else "plain", 1
        )
    lanes = int(rng.choice([2, 2, 3, 4]))
    crossing = (start, start + rng.uniform(3, 4)) if place == "crossing" or rng.random() < 0.15 else None
    bump = rng.uniform(10, 22) if crossing is None and rng.random() < 0.25 else None
    return Road(
        offset,
        1.7 * lanes + rng.uniform(0.3, 1.2),
        bend,
        rng.uniform(2.2, 4.5),
        "asphalt",
        lanes,
        crossing,
        bump,
    )


def _line_street(layout: Layout, rng: Generator) -> None:
    """Houses, trees, lamps, signs, hedges and guardrails along the road."""
    road, far = layout.road, layout.place == "drone"
    paved = road.half_width + 0.22 + road.pavement
    lamp_colour = LAMP_COLOURS[rng.integers(len(LAMP_COLOURS))]
    for side in (-1, 1):
        kind = (
            rng.choice(["houses", "trees", "open"], p=[0.62, 0.28, 0.10])
            if layout.place in ("street", "crossing")
            else rng.choice(["trees", "open"], p=[0.8, 0.2])
        )
        if kind == "houses":
            z, gap, nearer = rng.uniform(-4, 6), rng.uniform(0.0, 1.5), 0.0
            while z < 95:
                length, height = rng.uniform(8, 18), rng.uniform(7.0, 19.0)
                x0, x1 = (float(road.centre(q)) + side * (paved + gap) for q in (z, z + length))
                outer = side * 11
                corners = [(x0, z), (x1, z + length), (x1 + outer, z + length), (x0 + outer, z)]
                shop = bool(rng.random() < 0.6)
                if length + z > 3:
                    layout.add_house(rng, corners, height, shop, hidden=height <= nearer)
                alley = rng.uniform(2.5, 7) if rng.random() < 0.3 else 0.0
                z, nearer = z + length + alley, 0.0 if alley else height
        z = rng.uniform(4, 14)
        spacing = rng.uniform(6, 11)
        while z < (80 if not far else 60):
            beside = 0.9 if kind == "houses" else rng.uniform(1.0, 7.0)
            x = float(road.centre(z)) + side * (paved - 0.9 if kind == "houses" else paved + beside)
            if kind == "trees" or (kind == "houses" and road.pavement > 3 and spacing > 8.5):
                layout.add_tree(rng, x, z, rng.uniform(4.5, 6.5) if kind == "houses" else rng.uniform(5, 10))
            z += spacing * rng.uniform(0.8, 1.3)
        if kind != "houses" and rng.random() < 0.6:
            layout.add_hedge(rng, side, paved + rng.uniform(0.3, 0.8))
        if kind == "open" or rng.random() < 0.22:
            layout.add_guardrail(rng, side)
    z = rng.uniform(7, 15)
    side = int(rng.choice([-1, 1]))
    while z < 75 and rng.random() < 0.97:
        x = float(road.centre(z)) + side * (road.half_width + (0.6 if road.pavement else 0.5))
        layout.add_lamp(x, z, -side * 1.4, lamp_colour)
        side, z = -side, z + rng.uniform(13, 20)
    for _ in range(rng.integers(0, 3)):
        z, side = rng.uniform(6, 28), rng.choice([-1, 1])
        layout.add_sign(rng, float(road.centre(z)) + side * (road.half_width + 0.7), z)


def _fill_road(layout: Layout, rng: Generator) -> None:
    """Cars in their lanes and at the kerb, bicycles, and cones where the road is dug up."""
    road, night = layout.road, layout.setting.lamps > 0
    shapes = list(SHAPES)
    if road.surface == "asphalt":
        lane_width = 2 * road.half_width / road.lanes
        for lane in range(road.lanes):
            away = lane >= road.lanes / 2
            z = rng.uniform(6, 34)
            while z < 85:
                x = (
                    float(road.centre(z))
                    - road.half_width
                    + (lane + 0.5) * lane_width
                    + rng.uniform(-0.25, 0.25)
                )
                blocked = road.crossing is not None and road.crossing[0] - 5.0 < z < road.crossing[1] + 4.5
                if not blocked and layout.free(x, z, 2.5) and rng.random() < 0.62:
                    slope = 2 * road.bend * z
                    heading = np.arctan(slope) + (0 if away else np.pi) + rng.normal(0, 0.02)
                    layout.add_car(
                        int(rng.integers(2**31)),
                        Car(
                            x,
                            z,
                            float(heading),
                            str(rng.choice(shapes, p=[0.35, 0.3, 0.23, 0.12])),
                            rng.uniform(0.6, 1.0),
                            bool(night or rng.random() < 0.2),
                        ),
                    )
                z += rng.uniform(9, 30)
        for side in (-1, 1):
            if rng.random() < 0.45:
                z = rng.uniform(5, 16)
                while z < 50:
                    x = float(road.centre(z)) + side * (road.half_width + 1.15)
                    if road.pavement > 2.8 and layout.free(x, z, 2.3) and rng.random() < 0.7:
                        heading = np.arctan(2 * road.bend * z) + (0 if side > 0 else np.pi)
                        layout.add_car(
                            int(rng.integers(2**31)),
                            Car(
                                x,
                                z,
                                float(heading),
                                str(rng.choice(shapes[:3])),
                                rng.choice([0.0, 0.0, 0.05, 0.5]),
                                False,
                            ),
                        )
                    z += rng.uniform(5.4, 9)
        if rng.random() < 0.3:
            z0, side = rng.uniform(6, 16), rng.choice([-1, 1])
            for k in range(rng.integers(2, 7)):
                z = z0 + 1.7 * k
                x = float(road.centre(z)) + side * (road.half_width - 0.5 - 0.25 * k)
                if layout.free(x, z, 0.5):
                    layout.add_cone(x, z)
    for _ in range(rng.integers(0, 4)):
        z = rng.uniform(7, 30)
        ride = rng.random() < 0.7
        side = rng.choice([-1, 1])
        across = (
            side * (road.half_width - rng.uniform(0.3, 1.0))
            if ride
            else side * (road.half_width + rng.uniform(0.8, 2.0))
        )
        x = float(road.centre(z)) + across
        if layout.free(x, z, 1.0):
            heading = (
                (0.0 if side > 0 else np.pi) + rng.normal(0, 0.12) if ride else rng.uniform(0, 2 * np.pi)
            )
            if ride and rng.random() < 0.3:
                heading = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.3)
            layout.add_bicycle(
                int(rng.integers(2**31)),
                Pose(
                    x,
                    z,
                    float(heading),
                    rng.uniform(1.6, 1.88),
                    "ride" if ride else "stand",
                    rng.uniform(0, 6.28),
                ),
            )


def _fill_car_park(layout: Layout, rng: Generator) -> None:
    """Cars in bays, wheel stops, lamps and a border of trees or houses."""
    road, drone = layout.road, layout.place == "drone"
    colour = LAMP_COLOURS[rng.integers(len(LAMP_COLOURS))]
    share = rng.uniform(0.45, 0.85)
    for start in road.bays:
        side = np.sign(start)
        inward = side if abs(start) < 10 else -side
        for k in range(BAY_COUNT):
            z = BAY_START + (k + 0.5) * BAY_WIDTH
            x = road.offset + start + side * BAY_DEPTH / 2
            stop = (road.offset + start + side * (BAY_DEPTH - 0.55 if inward == side else 0.55), z)
            if layout.in_view(*stop, margin=0.1):
                layout.add(layout.depth(*stop) + 0.4, lambda canvas, stop=stop: paint_car_stop(canvas, *stop))
            if rng.random() < share and layout.in_view(x, z, margin=0.3):
                heading = inward * np.pi / 2 + (np.pi if rng.random() < 0.3 else 0) + rng.normal(0, 0.03)
                engine = float(rng.choice([0.0, 0.0, 0.1, 0.45, 0.9]))
                layout.add_car(
                    int(rng.integers(2**31)),
                    Car(
                        x + rng.uniform(-0.25, 0.25),
                        z + rng.uniform(-0.2, 0.2),
                        float(heading),
                        str(rng.choice(list(SHAPES), p=[0.35, 0.3, 0.25, 0.1])),
                        engine,
                        False,
                    ),
                )
    if rng.random() < 0.6:
        z = rng.uniform(12, 30)
        layout.add_car(
            int(rng.integers(2**31)),
            Car(road.offset + rng.uniform(-0.8, 0.8), z, float(rng.choice([0, np.pi])), "saloon", 1.0, True),
        )
    for z in (rng.uniform(14, 18), rng.uniform(32, 40)):
        side = rng.choice([-1, 1])
        layout.add_lamp(road.offset + side * 8.7, z, -side * 1.6, colour)
    end = BAY_START + BAY_COUNT * BAY_WIDTH + rng.uniform(3, 8)
    for x in np.arange(-34, 34, rng.uniform(5, 8)):
        if rng.random() < 0.75:
            layout.add_tree(rng, float(x), end + rng.uniform(0, 3), rng.uniform(5, 9))
    if rng.random() < 0.7 and not drone:
        x = rng.uniform(-26, -6)
        width = rng.uniform(16, 30)
        layout.add_house(
            rng,
            [(x, end + 5), (x + width, end + 5), (x + width, end + 16), (x, end + 16)],
            rng.uniform(8, 15),
            False,
        )
    for _ in range(rng.integers(0, 4)):
        x, z = road.offset + rng.uniform(-2.5, 2.5), rng.uniform(8, 30)
        if layout.free(x, z, 0.5):
            layout.add_cone(x, z)


def _add_people(layout: Layout, rng: Generator) -> None:
    """People on the pavement, on the crossing, between cars and far away."""
    road, drone = layout.road, layout.place == "drone"
    wanted, placed = int(rng.integers(3, 9)), 0
    for attempt in range(60):
        if placed >= wanted:
            break
        z = float(
            rng.uniform(6, 16)
            if attempt % 3 == 0
            else rng.uniform(8, 34)
            if attempt % 3 == 1
            else rng.uniform(15, 60)
        )
        action = str(rng.choice(["walk", "stand"], p=[0.72, 0.28]))
        centre = float(road.centre(z))
        heading = rng.choice([0.0, np.pi]) + rng.normal(0, 0.35)
        if road.crossing and rng.random() < 0.55:
            z = float(rng.uniform(*road.crossing))
            x = float(road.centre(z)) + rng.uniform(-1, 1) * road.half_width
            heading = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.2)
        elif road.surface == "parking":
            x = centre + rng.uniform(-9, 9)
            heading = rng.uniform(0, 2 * np.pi)
        elif road.pavement:
            side = rng.choice([-1, 1])
            x = centre + side * (road.half_width + rng.uniform(0.5, road.pavement))
            if rng.random() < 0.15:
                x, heading = centre + rng.uniform(-1, 1) * road.half_width, rng.uniform(0, 2 * np.pi)
        else:
            x = centre + rng.uniform(-1.6, 1.6) * road.half_width
        if not layout.in_view(x, z, 0.02) or not layout.free(x, z, 0.35):
            continue
        stature = rng.uniform(1.55, 1.9) if rng.random() < 0.88 else rng.uniform(1.05, 1.4)
        seed = int(rng.integers(2**31))
        layout.add_person(seed, Pose(x, z, float(heading), stature, action, rng.uniform(0, 2 * np.pi)))
        placed += 1
        if rng.random() < 0.3 and not drone:  # walking together
            x2 = x + rng.choice([-1, 1]) * rng.uniform(0.65, 0.8)
            if layout.free(x2, z, 0.25):
                layout.add_person(
                    seed + 1,
                    Pose(
                        x2,
                        z + rng.uniform(-0.2, 0.3),
                        float(heading) + rng.normal(0, 0.08),
                        rng.uniform(1.5, 1.85),
                        action,
                        rng.uniform(0, 2 * np.pi),
                    ),
                )
                placed += 1


def _add_smoke(layout: Layout, rng: Generator) -> None:
    """One or two plumes, and a person behind each whom only the infrared sees."""
    for k in range(rng.integers(1, 3)):
        z = float(rng.uniform(8, 15) if layout.place != "drone" else rng.uniform(14, 30))
        x = float(layout.road.centre(z)) + rng.uniform(-3.5, 3.5)
        fire = rng.uniform(0.6, 1.1) if k == 0 and rng.random() < 0.75 else 0.0
        layout.plumes.append(
            Plume(
                x,
                z,
                rng.uniform(3.0, 5.0),
                rng.uniform(4.5, 8.0),
                rng.uniform(-2.5, 2.5),
                rng.uniform(0.88, 0.985),
                fire,
            )
        )
        for _ in range(rng.integers(1, 4)):
            px, pz = x + rng.uniform(-1.6, 1.6), z + rng.uniform(1.2, 4.0)
            if layout.free(px, pz, 0.3):
                action = str(rng.choice(["crouch", "walk", "stand"], p=[0.4, 0.35, 0.25]))
                layout.add_person(
                    int(rng.integers(2**31)),
                    Pose(
                        px,
                        pz,
                        rng.uniform(0, 2 * np.pi),
                        rng.uniform(1.6, 1.85),
                        action,
                        rng.uniform(0, 6.28),
                    ),
                )
