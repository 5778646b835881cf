from __future__ import annotations

import re

from synapsor_plpython import identifiers

MOMENT = 1_767_225_600_123
FORM = re.compile(r"act_[0-7][0-9A-HJKMNP-TV-Z]{25}")


def made(count: int, random: bytes = b"\xff" * identifiers.RANDOM_BYTES) -> list[str]:
    return identifiers.ulids("act_", MOMENT, random, count)


def test_they_are_prefixed_ulids() -> None:
    assert all(FORM.fullmatch(each) for each in made(3))


def test_the_first_ten_letters_are_the_moment() -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for letter in made(1)[0][4:14]:
        number = number * 32 + alphabet.index(letter)
    assert number == MOMENT


def test_they_ascend_and_differ_however_many_and_whatever_they_begin_with() -> None:
    for random in (b"\x00" * 10, b"\xff" * 10, b"\x00" * 7 + b"\x1f\xff\xff"):
        many = made(3000, random)
        assert many == sorted(set(many))
        assert len(many) == 3000
        assert len({each[:14] for each in many}) == 1


def test_every_random_bit_but_the_lowest_counts() -> None:
    first = {
        made(1, bytes([0] * byte + [1 << bit] + [0] * (9 - byte)))[0]
        for byte in range(10)
        for bit in range(8)
    }
    assert len(first) == 80
