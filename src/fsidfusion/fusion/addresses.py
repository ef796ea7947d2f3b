"""Sources that are somewhere else, and how they may be shown."""

import re

_SECRETS = re.compile(r"(?<=://)[^/@\s]*@")
_KEYS = re.compile(r"(?i)((?:pass(?:word|wd)?|pwd|token|key|secret|auth)=)[^&\s]*")


def is_address(place: str) -> bool:
    """Whether a source is somewhere else, and can be opened again after it was lost."""
    return "://" in place and not place.startswith("file:")


def shown(place: str) -> str:
    """An address without the passwords and keys in it."""
    return _KEYS.sub(r"\1***", _SECRETS.sub("***@", place))
