"""Damage to files as it happens and as it is made: seeded, so that a case is known by its number."""

import random
from collections.abc import Sequence

_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    2**32 - 1,
)


def damaged(seeds: Sequence[bytes], number: int) -> bytes:
    """Case ``number``: one of the seeds with up to three faults of one kind."""
    chance = random.Random(number)
    content = bytearray(chance.choice(seeds))
    fault = chance.choice((_bits, _number, _number, _cut, _lack, _twice, _zeros, _mixed, _head))
    for _ in range(chance.choice((1, 1, 2, 3))):
        if content:
            fault(content, chance, seeds)
    return bytes(content)


def _place(content: bytearray, chance: random.Random) -> int:
    """Anywhere, but more often where headers are."""
    return chance.randrange(min(len(content), chance.choice((64, 512, 4096, len(content)))))


def _bits(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    content[_place(content, chance)] ^= 1 << chance.randrange(8)


def _number(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    width, place = chance.choice((1, 2, 4, 8)), _place(content, chance)
    value = chance.choice(_NUMBERS) & ((1 << 8 * width) - 1)
    part = value.to_bytes(width, chance.choice(("little", "big")))
    content[place : place + width] = part[: len(content) - place]


def _cut(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    del content[chance.randrange(len(content)) :]


def _lack(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    place = _place(content, chance)
    del content[place : place + chance.choice((1, 2, 4, 16, 256))]


def _twice(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    place = _place(content, chance)
    content[place:place] = content[place : place + chance.choice((1, 4, 12, 64, 1024))]


def _zeros(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    place, size = _place(content, chance), chance.choice((4, 64, 1024))
    content[place : place + size] = bytes(len(content[place : place + size]))


def _mixed(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other, place = chance.choice(seeds), _place(content, chance)
    content[place:] = other[min(place, len(other) - 1) :]


def _head(content: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    for _ in range(4):
        content[chance.randrange(min(len(content), 256))] = chance.randrange(256)
