"""Each room lists its face, says what it is for, and costs nothing until it is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fsidfusion

SOURCE = Path(fsidfusion.__file__).parent
ROOMS = sorted(f.parent.name for f in SOURCE.glob("*/__init__.py"))
FACES = ["fsidfusion", *(f"fsidfusion.{room}" for room in ROOMS)]
HEAVY = ("torch", "numpy", "cv2", "PIL", "scipy", "tyro", "rich")


@pytest.mark.parametrize("name", FACES)
def test_what_a_room_lists_is_there_and_has_a_docstring(name):
    room = import_module(name)
    assert room.__doc__ and len(room.__doc__.strip()) > 20
    for shown in getattr(room, "__all__", ()):
        assert getattr(room, shown) is not None
        if callable(getattr(room, shown)) and getattr(room, shown).__module__.startswith("fsidfusion"):
            assert getattr(room, shown).__doc__, f"{name}.{shown} has no docstring"
    assert set(getattr(room, "__all__", ())) <= set(dir(room))


@pytest.mark.parametrize("name", FACES)
def test_type_checkers_see_the_same_names(name):
    tree = ast.parse(Path(import_module(name).__file__).read_text("utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert imported <= set(getattr(import_module(name), "__all__", ()))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"fsidfusion.images.*no attribute 'fuze'"):
        import_module("fsidfusion.images").fuze  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, fsidfusion; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "room", ["images", "network", "alignment", "evaluation", "thermal", "fusion", "runtime", "training"]
)
def test_a_heavy_room_is_imported_when_it_is_used(room):
    code = f"import sys, fsidfusion.{room}; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
