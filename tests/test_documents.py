"""What README and docs tell can be done: blocks of Python run, commands run or are at least understood.

Commands that take long (training, comparisons, exports) or whose inputs are not at hand are read by the real
parser, so that a wrong option or value fails; pip, apt and torchrun are not run. Names of modules and paths
of files that the pages mention are there.
"""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

from documents import (
    PAGES,
    ROOT,
    SIZE,
    Code,
    codes,
    is_runnable,
    linked,
    make_inputs,
    make_videos,
    make_volumes,
    parse,
    results_of,
    shifted_pair,
)
from fsidfusion.alignment.transform import Alignment, write_alignment
from fsidfusion.cli import COMMANDS, main

ALL = [code for page in PAGES for code in codes(page)]
COMMAND_LINES = [c for c in ALL if c.language == "shell" and c.text.startswith("fsidfusion")]
DIFFERENT = list({tuple(shlex.split(c.text, comments=True)): c for c in reversed(COMMAND_LINES)}.values())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCE = ROOT / "src" / "fsidfusion"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Path:
    folder = make_inputs(tmp_path_factory.mktemp("inputs"))
    write_alignment(
        folder / "alignment.json", Alignment(np.eye(3), SIZE, SIZE, model="affine", method="points")
    )
    if find_spec("nibabel") and find_spec("pydicom"):
        make_volumes(folder)
    if find_spec("av"):
        make_videos(folder)
    return folder


@pytest.mark.parametrize("code", DIFFERENT, ids=str)
def test_commands(code: Code, inputs, tmp_path, monkeypatch, capfd):
    words = shlex.split(code.text, comments=True)[1:]
    if words[0] == "COMMAND" or words[0].startswith("-"):
        return
    assert words[0] in COMMANDS
    if not is_runnable(words, inputs):
        try:
            parse(words[0], words[1:])
        except SystemExit as wrong:
            assert wrong.code in (0, None), capfd.readouterr().out + capfd.readouterr().err
        return
    monkeypatch.chdir(linked(inputs, tmp_path, without=results_of(words)))
    status = main(words)
    said = capfd.readouterr()
    assert status == 0, said.out + said.err
    for written in results_of(words):
        assert Path(written).exists(), written


def test_most_pages_have_commands_that_run(inputs):
    ran = {c.page for c in COMMAND_LINES if is_runnable(shlex.split(c.text, comments=True)[1:], inputs)}
    assert {"README.md", "alignment.md", "data.md", "guide-thermal-camera.md", "guide-training.md"} <= ran
    assert sum(is_runnable(shlex.split(c.text, comments=True)[1:], inputs) for c in DIFFERENT) > 20


@pytest.mark.parametrize("code", [c for c in ALL if c.language == "python"], ids=str)
def test_blocks_of_python(code: Code, inputs, tmp_path, monkeypatch):
    if "video" in code.text and not find_spec("av"):
        pytest.skip("PyAV is not installed")
    if "volume" in code.text and not (find_spec("nibabel") and find_spec("pydicom")):
        pytest.skip("nibabel or pydicom is not installed")
    infrared, visible = shifted_pair("day")
    names = {
        "infrared": infrared,
        "visible": visible,
        "mri": infrared,
        "pet": visible,
        "pairs": [("one", np.maximum(infrared[..., None], visible), infrared, visible)],
    }
    monkeypatch.chdir(linked(inputs, tmp_path, without=["fused.mp4", "fused.nii.gz"]))
    exec(compile(code.text, str(code), "exec"), names)


@pytest.mark.parametrize("code", [c for c in ALL if c.language == "yaml"], ids=str)
def test_blocks_of_yaml(code: Code):
    assert yaml.safe_load(code.text)


MENTIONS = sorted({
    found for page in PAGES for found in re.findall(r"`fsidfusion ([a-z][^`|]*)`", page.read_text("utf-8"))
})  # fmt: skip


@pytest.mark.parametrize("mention", MENTIONS)
def test_commands_within_sentences(mention: str, capsys):
    command, *rest = mention.split()
    part = [word for word in rest[:1] if command in ("data", "benchmark", "detect", "segment")]
    with pytest.raises(SystemExit):
        parse(command, [*part, "--advanced-help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"usage: {' '.join(['fsidfusion', command, *part])} " in told
    assert all(option in told for option in rest if option.startswith("-"))


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md"]
)
def test_links_of_pages_beside_the_site_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            linked_page = page.parent / path if path else page
            assert linked_page.exists(), target
            heads = re.findall(r"^#+ (.*)$", linked_page.read_text("utf-8"), re.MULTILINE) if anchor else []
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert not anchor or anchor in slugs, target


def test_installs_name_extras_that_there_are():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {
        extra
        for found in re.findall(r"pip install '[^\[']*\[([\w,]+)\]'", text)
        for extra in found.split(",")
    }
    assert named and named <= set(PROJECT["optional-dependencies"])


def test_makes_name_targets_that_there_are():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"^    make ([\w-]+)|`make ([\w-]+)`", text, re.MULTILINE))
    assert {one or other for one, other in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_that_a_page_names_are_there(page: Path):
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL))
    spans += re.findall(r"^from (fsidfusion[\w.]*) import", page.read_text("utf-8"), re.MULTILINE)
    for span in spans:
        if name := re.fullmatch(r"(fsidfusion(?:\.\w+)+)(\(.*\))?", span):
            resolve(name[1])
        elif page.name == "architecture.md" and re.fullmatch(r"[a-z]+(\.\w+)+", span):
            resolve(f"fsidfusion.{span}")
        elif re.fullmatch(r"[\w/-]+/[\w-]+\.py", span) and "NAME" not in span:
            places = (ROOT, SOURCE, SOURCE / "fusion")
            assert any((place / span).exists() for place in places), f"{page.name} names {span}"


def resolve(name: str) -> object:
    """The module, or what a module holds, of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


def test_the_site_shows_all_that_is_promised():
    import fsidfusion

    shown = set(
        re.findall(r"^::: fsidfusion\.(\w+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    )
    assert {name for name in fsidfusion.__all__ if name not in ("__version__", "DEFAULT_MODEL")} <= shown


def test_the_site_builds_without_a_broken_link(tmp_path):
    if find_spec("mkdocs") is None or find_spec("mkdocstrings") is None:
        pytest.skip("mkdocs is not installed: pip install '.[docs]'")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "api" / "index.html").exists()
