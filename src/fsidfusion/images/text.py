"""Text files from outside: decoded in one place, compared with a typed model before anyone looks into them.

A model is whatever msgspec can compare with: a Struct, a dict, a list, with bounds where they matter.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from fsidfusion.errors import InputError
from fsidfusion.images.budget import MAX_TEXT, MAX_YAML, regular_file

T = TypeVar("T")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST = 300  # characters of a reason in a message


def read_text(path: Path, what: str = "text file", most: int | None = None) -> str:
    """The text of a file, in UTF-8 with or without its mark.

    ``most`` bytes are taken, else 256 MiB: what becomes an object for each word takes twenty times its text.

    Raises:
        InputError: no such file, one that cannot be read or is too large, or bytes that are no text.
    """
    if (size := regular_file(path, what)) > (MAX_TEXT if most is None else most):
        raise InputError(f"{path} has {size / 2**20:.1f} MiB, which is no {what}; give another file")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no {what}: byte {error.start} is no UTF-8; save it again as UTF-8"
        ) from error


def read_json(path: Path, model: type[T], what: str = "JSON file", most: int | None = None) -> T:
    """What a JSON file holds, of the types that a model asks for; NaN and infinity are refused.

    Raises:
        InputError: as :func:`read_text`, no JSON, or a value that is not as in the model, with its place.
    """
    text = read_text(path, what, most)
    try:
        return msgspec.json.decode(text, type=model)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{path} is no sound {what} ({reason(error)}); make it again") from error


def read_yaml(path: Path, what: str = "YAML file") -> Any:
    """What a YAML file holds; see :func:`parse_yaml`.

    Raises:
        InputError: as :func:`read_text`, or no YAML.
    """
    return parse_yaml(read_text(path, what, MAX_YAML), str(path), what)


def parse_yaml(text: str, source: str, what: str = "YAML file") -> Any:
    """What YAML text says, without code and without references, by which few bytes become very many values.

    Raises:
        InputError: no YAML, more than half a mebibyte, or a reference (``*name``) in it.
    """
    if len(text) > MAX_YAML:  # it takes a second for some ten thousand words
        raise InputError(f"{source} has over {MAX_YAML >> 10} kiB, which is no {what}; give another file")
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"{source} is no sound {what} ({reason(error)})") from error


def as_model(value: Any, model: type[T], source: str) -> T:
    """A value that was read, as a model.

    Raises:
        InputError: a value that is not as in the model, with its place.
    """
    try:
        return msgspec.convert(value, model)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{source}: {reason(error)}") from error


def to_csv(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return stream.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def reason(error: object) -> str:
    """What an error says, in one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class _Plain(yaml.SafeLoader):
    """Values alone: no code, no references."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to another part of itself (*name); write that part out")
        return super().compose_node(parent, index)
