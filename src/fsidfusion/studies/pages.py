"""The project's own pages: each measurement has the part between its two markers (scripts/write_docs.py)."""

from pathlib import Path

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import write_text


def markers(name: str) -> tuple[str, str]:
    """The lines between which the part ``name`` of a page stands."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def read_part(page: Path, name: str) -> str:
    """What stands between the markers of ``name``.

    Raises:
        InputError: no page, or no markers in it.
    """
    return _split(page, name)[1]


def write_part(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of ``name``; the rest of the page stays as it is.

    Raises:
        InputError: no page, no markers in it, or it cannot be written.
    """
    before, _, after = _split(page, name)
    write_text(page, f"{before}\n{text.strip()}\n{after}")


def _split(page: Path, name: str) -> tuple[str, str, str]:
    begin, end = markers(name)
    text = page.read_text("utf-8") if page.exists() else ""
    if not 0 <= text.find(begin) < text.find(end):
        raise InputError(f"{page} has no lines {begin} and {end}; add them where the part belongs")
    before, rest = text.split(begin, 1)
    inside, after = rest.split(end, 1)
    return before + begin, inside, end + after
