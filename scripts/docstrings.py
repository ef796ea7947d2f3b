"""For ``make docs``: docstrings as the site shows them; a public name without one is a warning and fails."""

import logging
import re
from pathlib import Path
from typing import Any

import griffe

_LOG = logging.getLogger("mkdocs.plugins.docstrings")
_ROLE = re.compile(r":(?:meth|class|func|mod|attr|data):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Roles such as :func:`f` and lines that begin with >>> become code; fields get their comments."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = "\n\n".join(map(_fenced, text.split("\n\n")))
        elif obj.is_attribute and obj.parent is not None and obj.parent.is_class:
            if comment := _comment(obj):
                obj.docstring = griffe.Docstring(comment, parent=obj)
        elif (obj.is_function or obj.is_class) and _is_public(obj):
            _LOG.warning("%s has no docstring", obj.path)


def _comment(field: griffe.Object) -> str:
    """What stands behind ``name: type = value  #``, on this line and the comment lines that follow it."""
    if field.lineno is None or not isinstance(field.filepath, Path):
        return ""
    first, *rest = field.filepath.read_text("utf-8").splitlines()[field.lineno - 1 :]
    if "  # " not in first:
        return ""
    words = [first.split("  # ", 1)[1]]
    for line in rest:
        if not line.strip().startswith("# "):
            break
        words.append(line.strip()[2:])
    return " ".join(words)


def _fenced(paragraph: str) -> str:
    return f"```pycon\n{paragraph}\n```" if paragraph.startswith(">>>") else paragraph


def _is_public(obj: griffe.Object) -> bool:
    parts = obj.path.split(".")
    inside = obj.parent is not None and obj.parent.is_function
    return not inside and not any(part.startswith("_") for part in parts)
