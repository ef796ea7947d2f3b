"""The wheel and the sdist hold all that runs: built, installed and used away from the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from fsidfusion import __version__
from fsidfusion.images.files import read_header

ROOT = Path(__file__).resolve().parents[1]
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff",
         "CONTRIBUTING.md", "SECURITY.md", "Makefile", "mkdocs.yml")  # fmt: skip
PARTS = ("src", "docs", "examples", "tests", *FILES)

pytestmark = pytest.mark.slow


def run(*command: object, **options) -> str:
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


@pytest.fixture(scope="module")
def distribution(tmp_path_factory) -> Path:
    """A folder with the sdist of a copy of the checkout, and the wheel that was built of that sdist."""
    for needed in ("build", "setuptools"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install '.[test]'")
    copy = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        if (ROOT / part).is_dir():
            junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, copy / part, ignore=junk)
        else:
            shutil.copy(ROOT / part, copy)
    output = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "-o", output, copy)
    return output


def test_the_sdist_holds_what_the_checkout_does(distribution):
    (sdist,) = distribution.glob("*.tar.gz")
    assert sdist.name == f"fsidfusion-{__version__}.tar.gz"
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    kept = {
        path.relative_to(ROOT).as_posix()
        for part in PARTS
        for path in ([ROOT / part] if (ROOT / part).is_file() else (ROOT / part).rglob("*"))
        if path.is_file() and not {"__pycache__", "fsidfusion.egg-info"} & set(path.parts)
    }
    assert kept <= held, sorted(kept - held)


def test_the_wheel_fuses_without_the_checkout(distribution, tmp_path):
    (wheel,) = distribution.glob("*.whl")
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    alone = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(site)}}
    place = run(sys.executable, "-c", "import fsidfusion; print(fsidfusion.__file__)", **alone)
    assert Path(place.strip()).is_relative_to(site)
    fuse = [sys.executable, "-m", "fsidfusion", "fuse", "--device", "cpu"]
    run(*fuse, "--ir", "examples/ir", "--vis", "examples/vis", "-o", "fused", **alone)
    for fused in (tmp_path / "examples" / "ir").glob("*.png"):
        assert read_header(tmp_path / "fused" / fused.name).channels == 3
    run(*fuse, "--mri", "examples/mri/head.png", "--pet", "examples/pet/head.png", "-o", "pet.png", **alone)
    run(sys.executable, "-m", "fsidfusion", "demo", "--output", "demo", "--model", "maximum", **alone)
    assert (tmp_path / "demo" / "contact_sheet.png").is_file()  # of the pairs that the wheel holds
    assert "light" in run(
        sys.executable, "-m", "fsidfusion", "train", "--help", **alone
    )  # recipes are inside
    if os.name != "nt":  # where pip puts the command elsewhere
        assert __version__ in run(site / "bin" / "fsidfusion", "--version", **alone)


def test_every_data_file_of_the_source_is_in_the_wheel(distribution, tmp_path):
    (wheel,) = distribution.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    source = ROOT / "src" / "fsidfusion"
    missing = [
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not (tmp_path / "fsidfusion" / path.relative_to(source)).exists()
    ]
    assert not missing
