"""Identifiers of many rows at once: a prefix and a ULID, 26 letters of Crockford's alphabet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RANDOM_BYTES: Final = 10

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
_HEAD_BITS: Final = (120, 110, 100, 90, 80, 70, 60, 50, 40, 30, 20)


def ulids(prefix: str, milliseconds: int, random: bytes, count: int) -> list[str]:
    """Return ascending identifiers of one moment, counted up from 79 random bits.

    Rows that are written in the order of their identifiers stay together in an index.
    """
    first = milliseconds << 80 | int.from_bytes(random, "big") >> 1
    pairs = _PAIRS
    made = []
    upper = -1
    head = ""
    for number in range(first, first + count):
        if number >> 20 != upper:
            upper = number >> 20
            head = prefix + "".join([pairs[number >> bits & 1023] for bits in _HEAD_BITS])
        made.append(head + pairs[number >> 10 & 1023] + pairs[number & 1023])
    return made
