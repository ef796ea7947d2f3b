"""The code and the commands in README and docs, and small inputs with the names that they use."""

import os
import re
import shlex
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import numpy as np

from fsidfusion.cli import COMMANDS, parsing
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene
from radiometric_files import (
    camera_record,
    centikelvin,
    fff,
    planck_counts,
    raw_record,
    warm_scene,
    write_deep,
    write_flir,
)

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SIZE, SHIFT = (160, 208), 5
SETS = ("MSRS/train", "DATA/train/one", "DATA/TNO")
QUICK = {"fuse", "video", "align", "evaluate", "models", "data prepare", "data check"}  # the others: parsed
INPUTS = {"--ir", "--vis", "--mri", "--ct", "--pet", "--spect", "--dose", "--label", "--labels", "--fused"}
INPUTS |= {
    "--data",
    "--align",
    "--model",
    "--hdf5",
    "--pairs",
    "--studies",
    "--points",
    "--alignment",
    "--ir-times",
    "--manifest",
}
OUTPUTS = {"-o", "--output", "--temperature", "--report", "--views", "--sheet", "--transform", "--table"}


@dataclass(frozen=True)
class Code:
    """Something on a page that can be run."""

    page: str
    line: int
    language: str  # shell: one command; python or yaml: a block
    text: str

    def __str__(self) -> str:
        words = self.text.split("#")[0].split() if self.language == "shell" else [self.language]
        return f"{self.page}:{self.line}:{' '.join(words)[:70]}"


def codes(page: Path) -> list[Code]:
    """All fenced blocks of Python and YAML, and all commands, their continued lines joined."""
    found, lines, at = [], page.read_text("utf-8").splitlines(), 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if fence := re.match(r"```(\w+)", line):
            end = lines.index("```", at)
            if fence[1] in ("python", "yaml"):
                found.append(Code(page.name, start + 1, fence[1], "\n".join(lines[at:end])))
                at = end + 1
        elif re.match(r"(    )?(fsidfusion|make|pip|torchrun) ", line):
            text = line.strip()
            while text.endswith("\\") or (at < len(lines) and _is_open(text)):
                text = text.removesuffix("\\") + " " + lines[at].strip()
                at += 1
            found.append(Code(page.name, start + 1, "shell", text))
    return found


def _is_open(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def parse(command: str, words: list[str]) -> None:
    """Read the words by the real parser, and call nothing; SystemExit where they are no call."""
    module, name = COMMANDS[command][0].rsplit(".", 1)
    function = getattr(import_module(f"fsidfusion.cli.{module}"), name)
    parsing.parse(function, words, f"fsidfusion {command}")


def is_runnable(words: list[str], folder: Path) -> bool:
    """Whether a command is a quick one whose inputs are all in the folder."""
    if not {words[0], " ".join(words[:2])} & QUICK:
        return False
    option = ""
    for word in words:
        option = word if word.startswith("-") else option
        is_file = option not in ("--align", "--model") or Path(word).suffix in (".json", ".safetensors")
        if option in INPUTS and word != option and is_file and not list(folder.glob(word)):
            return False
    return True


def results_of(words: list[str]) -> list[str]:
    """What the command writes."""
    return [after.rstrip("/") for word, after in pairwise(words) if word in OUTPUTS]


def shifted_pair(time_of_day: str, shift: int = SHIFT) -> tuple[np.ndarray, np.ndarray]:
    """A rendered pair of SIZE whose infrared picture lies ``shift`` pixels beside the visible one."""
    scene = render_scene(3, (SIZE[0], SIZE[1] + SHIFT), time_of_day=time_of_day, smoke=False)
    first, second = scene.infrared[:, shift : SIZE[1] + shift], scene.visible[:, : SIZE[1]]
    return first.copy(), second.copy()


def make_inputs(folder: Path) -> Path:
    """Small files with the names that the documents use."""
    pairs = [shifted_pair(time_of_day) for time_of_day in ("day", "night")]
    infrared, visible = pairs[0]
    for name in ("thermal.png", "t.png", "mri.png"):
        write_picture(folder / name, Picture(infrared))
    for name in ("colour.png", "c.png", "colour.jpg", "pet.png"):
        write_picture(folder / name, Picture(visible))
    (folder / "counts").mkdir()
    for number, (infrared, visible) in enumerate(pairs):
        for name in ("thermal", "ir", *(f"{known}/ir" for known in SETS)):
            write_picture(folder / name / f"{number}.png", Picture(infrared))
        for name in ("colour", "vis", "vi", *(f"{known}/vi" for known in SETS)):
            write_picture(folder / name / f"{number}.png", Picture(visible))
        for name in ("mine", "theirs"):
            fused = np.maximum(infrared[..., None], visible)
            write_picture(folder / name / f"{number}.png", Picture(fused))
        write_deep(folder / "counts" / f"{number}.tif", centikelvin(15 + infrared.astype(float) / 8))
        for name, pixels in zip(("ir", "vi"), shifted_pair("day" if number else "night", 0)):
            write_picture(folder / "ROOT" / name / f"{number}.png", Picture(pixels))
    celsius = warm_scene(SIZE)
    block = fff([(1, raw_record(planck_counts(celsius))), (32, camera_record())])
    write_flir(folder / "flir.jpg", np.full((*SIZE, 3), 90, np.uint8), block)
    return folder


def make_volumes(folder: Path) -> Path:
    """NIfTI files, and a CT as DICOM; needs nibabel and pydicom."""
    from volume_files import head, write_dicom_series, write_nifti_file

    mri, ct = head(), head(low=-1000.0, high=1000.0, name="ct")
    for name in ("t1.nii.gz", "t1.nii", "pet.nii.gz"):
        write_nifti_file(folder / name, mri.voxels)
    beside = np.eye(4)
    beside[:3, 3] = 2.0, -1.5, 1.0  # millimetres
    write_nifti_file(folder / "ct.nii.gz", ct.voxels)
    write_nifti_file(folder / "ct.nii", ct.voxels, beside)
    write_dicom_series(folder / "ct", ct, Modality="CT")
    return folder


def make_videos(folder: Path) -> Path:
    """Two files of eight frames, and counts as frames; needs PyAV."""
    import av

    infrared, visible = shifted_pair("day")
    colour = np.repeat(infrared[..., None], 3, axis=2)
    for name, shown in (("ir.mp4", colour), ("vis.mp4", visible)):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.height, stream.width = SIZE
            stream.bit_rate = 4_000_000
            for shift in range(8):
                frame = av.VideoFrame.from_ndarray(np.roll(shown, 2 * shift, axis=1).copy(), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    (folder / "frames").mkdir()
    for shift in range(8):
        counts = 7000 + 4 * np.roll(infrared, 2 * shift, axis=1).astype(np.uint16)
        write_deep(folder / "frames" / f"{shift:03}.tif", counts)
    return folder


def linked(source: Path, target: Path, without: list[str]) -> Path:
    """A folder of links to the inputs, but for what a command will write; no command changes an input."""
    for path in source.rglob("*"):
        name = path.relative_to(source)
        if path.is_file() and not any(name.is_relative_to(result) for result in without if result):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target / name)
    return target
