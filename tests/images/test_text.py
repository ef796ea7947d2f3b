"""Text from outside: encodings, sizes, JSON and YAML that are made to burst, nest or lie."""

import json

import msgspec
import pytest

from fsidfusion.alignment.calibration import read_camera
from fsidfusion.alignment.files import read_points
from fsidfusion.alignment.transform import read_alignment
from fsidfusion.errors import InputError
from fsidfusion.fusion.frame_times import of_list
from fsidfusion.images import text
from fsidfusion.images.budget import MAX_LINES, MAX_YAML
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.text import as_model, parse_yaml, read_json, read_text, read_yaml, to_csv
from fsidfusion.studies.downstream.segmentation.classes import load_classes
from fsidfusion.training.presets import load_config
from memory_peak import growth_below


class Entry(msgspec.Struct):
    id: int
    name: str


def test_text_is_utf8_with_or_without_its_mark(tmp_path):
    path = tmp_path / "a.txt"
    for content, expected in (
        (b"gr\xc3\xbcn", "grün"),
        (b"\xef\xbb\xbfgr\xc3\xbcn\r\n", "grün\r\n"),
        (b"", ""),
    ):
        path.write_bytes(content)
        assert read_text(path) == expected


def test_other_bytes_are_refused_with_their_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match="byte 2 is no UTF-8"):
        read_text(path)


def test_a_file_beyond_the_budget_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_TEXT", 10)
    path = tmp_path / "a.txt"
    path.write_text("12345678901")
    with pytest.raises(InputError, match="no list of paths"):
        read_text(path, "list of paths")


@pytest.mark.parametrize(
    ("read", "size"),
    [
        (read_yaml, MAX_YAML),
        (load_classes, MAX_YAML),
        (lambda path: load_config(str(path)), MAX_YAML),
        (read_camera, MAX_YAML),
        (read_alignment, MAX_LINES),
        (read_points, MAX_LINES),
        (of_list, MAX_LINES),
        (lambda path: match_pairs([path.with_suffix(".txt")], [path]), MAX_LINES),
    ],
    ids=range(8),
)
def test_text_that_becomes_many_objects_is_not_read_at_any_length(tmp_path, read, size):
    path = tmp_path / "a.yaml"
    for name in ("a.yaml", "a.txt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size + 1)  # holes: nothing is written
    with growth_below(16 << 20), pytest.raises(InputError, match=r"a\.(yaml|txt) has .* MiB, which is no"):
        read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"id": "1", "name": "a"}', r"Expected `int`, got `str` - at `\$\.id`"),
        ('{"id": 1}', "name"),
        ("[1, 2]", "Expected `object`"),
        ('{"id": NaN, "name": "a"}', "malformed"),
        ('{"id": 1' + "0" * 5000 + ', "name": "a"}', "range"),
        ("[" * 100_000, "no sound"),
        ('{"id": ' + "[" * 100_000, "no sound"),
        ("", "no sound"),
    ],
    ids=range(8),
)
def test_json_that_is_not_as_the_model_is_named_in_one_line(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_json(path, Entry)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 700


def test_json_as_the_model_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"id": 7, "name": "b", "more": [1]}))
    assert read_json(path, Entry) == Entry(7, "b")
    assert as_model({"id": 7, "name": "b"}, Entry, "a") == Entry(7, "b")
    with pytest.raises(InputError, match=r"^source: .*name"):
        as_model({"id": 7, "name": 1}, Entry, "source")


BOMB = "k0: &k0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"k{level}: &k{level} [{','.join([f'*k{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB, "refers to another part"),
        ("a: &a {x: 1}\n<<: *a", "refers to another part"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: " + "9" * 100_000, "no sound"),
        ("[" * 5000, "no sound"),
        ("a: [", "no sound"),
        ("? [1]\n: 2", "unhashable"),
        ("a: \x00", "no sound"),
        ("2001-99-99", "no sound"),
    ],
    ids=range(9),
)
def test_hostile_yaml_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_yaml(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 700


def test_plain_yaml_is_read():
    assert parse_yaml("a: [1, 2.5, x]\nb: {c: null}", "here") == {"a": [1, 2.5, "x"], "b": {"c": None}}


def test_no_cell_of_a_table_is_a_formula():
    names = ["=HYPERLINK(1)", "+1", "-x", "@SUM(1)", "\tx", "plain", 'a"b,c']
    lines = to_csv([("name", "score"), *((name, -0.5) for name in names)]).splitlines()
    assert lines[0] == "name,score"
    assert [line[0] for line in lines[1:5]] == ["'"] * 4
    assert all(line.endswith(",-0.5") for line in lines[1:])
    assert lines[6] == "plain,-0.5"
