"""Indexes that are not true, with valid checksums."""

from __future__ import annotations

import struct
from itertools import pairwise

from tests.oracles import jpeg_index as oracle
from tests.oracles.jpeg_index import State
from tests.oracles.xxh64 import xxh64


def restamped(data: bytes) -> bytes:
    """Write a valid checksum into a forged index."""
    return data[:4] + struct.pack("<I", xxh64(data[8:]) & 0xFFFFFFFF) + data[8:]


def with_raised_rows(data: bytes, by: int = 1) -> bytes:
    """Forge a sequential file's index: all checkpoints but the first have a DC predictor of Y that is raised.

    Crops below the first row of MCUs cannot know, so what they give shows whether an index was used.
    """
    changes = {mcu: raised(state, by) for mcu, state in _states(data).items() if mcu != 0}
    return with_states(data, changes)


def with_one_row_raised(data: bytes) -> bytes:
    """Forge a sequential file's index of rows: the second begins with a DC predictor of Y that is raised by one."""
    states = _states(data)
    second = sorted(states)[1]
    return with_states(data, {second: raised(states[second])})


def raised(state: State, by: int = 1) -> State:
    """Raise the first DC predictor."""
    return state._replace(predictors=(state.predictors[0] + by, *state.predictors[1:]))


def with_states(data: bytes, changes: dict[int, State]) -> bytes:
    """Write an index of one sequential scan with other states in front of some MCUs, valid checksums included."""
    index = oracle.read(data)
    (scan,) = index.scans
    out = bytearray(data[:32] + _varint(1) + _varint(scan.begin) + _varint(scan.end - scan.begin))
    at = len(out)  # MCUs across and down, and the number of components, are taken over
    end = at
    for _ in range(2):
        while data[end] & 128:
            end += 1
        end += 1
    out += data[at : end + 1]
    states = [(scan.states | changes)[mcu] for mcu in sorted(scan.states)]
    for before, state in pairwise(states):
        out += _varint(state.bit - before.bit)
        for old, new in zip(before.predictors, state.predictors, strict=True):
            difference = (new - old + 32768) % 65536 - 32768
            out += _varint(2 * difference if difference >= 0 else -2 * difference - 1)
    return restamped(bytes(out))


def _states(data: bytes) -> dict[int, State]:
    return oracle.read(data).scans[0].states


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
