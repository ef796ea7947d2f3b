"""A set of rendered scenes on disk in the layout of MSRS, with masks and boxes, for training and tests.

    ROOT/{train,test}/{ir,vi,Segmentation_labels}/NAME.png, labels/NAME.txt
    ROOT/about.txt, {train,test}/labels/classes.txt

Names end in D or N (day, night), and those with smoke in DS or NS.
"""

from collections.abc import Iterator
from pathlib import Path

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import write_text
from fsidfusion.images.files import Picture, read_header, write_picture
from fsidfusion.studies.scenes import Scene, render_scene

ABOUT = (
    "These scenes are rendered by this project (fsidfusion data render), they are no photographs: scores on"
    " them compare inputs under one protocol, and do not say what is reached in a real street.\n"
)
BOXES = ("person", "bicycle", "car")  # the categories of labels/NAME.txt, in the order of classes.txt
FIRST_SEED = 100_000  # far from the seeds of the examples
_CONDITIONS = ("D", "N", "D", "N", "D", "N", "DS", "NS")  # of scenes one after another


def write_scene_set(root: Path, train: int, test: int, size: tuple[int, int] = (240, 320)) -> Iterator[Path]:
    """Render scenes into a folder, going on where a stopped call was; yield each infrared file when done.

    Training scenes have even seeds and test scenes odd ones, so that none is ever shared, however many of
    each are asked for; asking for more later keeps those that are there.

    Args:
        root: the set's folder; made when absent.
        train: number of training scenes.
        test: number of test scenes.
        size: (height, width) in pixels.

    Raises:
        InputError: nothing asked for, too small a size, scenes of another size in the folder, a failed write.
    """
    if min(train, test) < 0 or train + test == 0:
        raise InputError(f"{train} training and {test} test scenes were asked for; give at least one scene")
    for present in sorted(root.glob("t*/ir/*.png"))[:1]:
        header = read_header(present)
        if (header.height, header.width) != size:
            found = f"{header.height}x{header.width}"
            raise InputError(
                f"{root} holds scenes of {found}, not {size[0]}x{size[1]}; choose another folder"
            )
    write_text(root / "about.txt", ABOUT)
    for split, number, odd in (("train", train, 0), ("test", test, 1)):
        for place in range(number):
            seed, condition = FIRST_SEED + 2 * place + odd, _CONDITIONS[place % len(_CONDITIONS)]
            name = f"{seed:06d}{condition}"
            files = [root / split / folder / name for folder in ("ir", "vi", "Segmentation_labels", "labels")]
            infrared, visible, mask = (path.with_suffix(".png") for path in files[:3])
            boxes = files[3].with_suffix(".txt")
            if not boxes.exists():  # written last
                time_of_day = "day" if condition[0] == "D" else "night"
                scene = render_scene(seed, size, time_of_day, smoke="S" in condition)
                write_picture(infrared, Picture(scene.infrared))
                write_picture(visible, Picture(scene.visible))
                write_picture(mask, Picture(scene.labels))
                write_text(boxes.parent / "classes.txt", "\n".join(BOXES) + "\n")
                write_text(boxes, yolo_boxes(scene))
            yield infrared


def yolo_boxes(scene: Scene) -> str:
    """The boxes of a scene as YOLO text: a line for each, class x y w h; centre and size as shares of 1."""
    height, width = scene.labels.shape
    lines = []
    for thing in scene.objects:
        x0, y0, x1, y1 = thing.box
        shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        lines.append(" ".join([str(BOXES.index(thing.category)), *(f"{share:.6f}" for share in shares)]))
    return "".join(line + "\n" for line in lines)
