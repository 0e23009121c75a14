"""Damage to the bytes of a file and to the values of JSON in it, drawn at random; for benchmarks/hardening.py."""

import copy
import json
import random
import struct
from collections.abc import Iterator
from typing import Any

ODD = (None, True, -1, 0, 2**70, 1e308, "", "<script>", "../../etc/passwd", [], {}, [[[]]], [1e999], {"a": None})


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to three mutations of bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice((flip, truncate, zero, swap, repeat, offset))(data, rng)
    return bytes(data)


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 4, 30)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def zero(data: bytearray, rng: random.Random) -> None:
    start, size = rng.randrange(len(data) + 1), rng.choice((1, 8, 200))
    data[start : start + size] = bytes(len(data[start : start + size]))


def swap(data: bytearray, rng: random.Random) -> None:
    if len(data) > 16:
        a, b = (rng.randrange(len(data) // 4) * 4 for _ in range(2))
        if len(data[a : a + 4]) == len(data[b : b + 4]):
            data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]


def repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = data[start : start + rng.choice((1, 16, 500))]


def offset(data: bytearray, rng: random.Random) -> None:
    """A word near the beginning, where headers stand, becomes a number of another size."""
    if len(data) > 8:
        at = rng.randrange(min(len(data), 400) // 4) * 4
        data[at : at + 4] = struct.pack("<i", rng.choice((-1, 0, 1, 4, 2**31 - 1, -(2**31), rng.randrange(2**16))))


def mutated_card(content: bytes, rng: random.Random) -> bytes:
    """Half of them by bytes, half by values."""
    return mutated(content, rng) if rng.random() < 0.5 else other_values(content, rng)


def mutated_lines(content: bytes, rng: random.Random) -> bytes:
    """Lines of JSON, half of them by bytes, half by the values of one line."""
    if rng.random() < 0.5:
        return mutated(content, rng)
    lines = content.splitlines(keepends=True)
    chosen = rng.randrange(len(lines))
    return b"".join([*lines[:chosen], other_values(lines[chosen], rng) + b"\n", *lines[chosen + 1 :]])


def other_values(content: bytes, rng: random.Random) -> bytes:
    """A JSON document with odd values in some places, others left out, or nested too deep."""
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        holder, key = rng.choice(list(places(document)))
        if rng.random() < 0.25 and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return json.dumps(document).encode() if rng.random() < 0.98 else b"[" * 200_000


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) of a JSON document."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(part, dict | list):
            yield from places(part)
