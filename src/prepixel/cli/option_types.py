"""Types of command-line values: each checks its range and says in one line what it accepts."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from prepixel.data.units import PartNumber
from prepixel.errors import StoreError
from prepixel.stores.remote_path import AnyPath, hide_secrets, is_url, to_path

FIGURES = (".png", ".svg", ".pdf")
STDIN = Path("-")
MAX_SEED = 2**32 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_MAX_PATH_BYTES, _MAX_NAME_BYTES, _MAX_TEXT = 4095, 255, 500


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a type that accepts integers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        wanted = f"give an integer from {low:,} to {high:,}"
        if not text.strip():
            raise argparse.ArgumentTypeError(f"is empty; {wanted}")
        if not _INTEGER.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{shorten(text)} is not an integer in this range; {wanted}")
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shorten(text)} is out of range; {wanted}")
        return value

    return parse


def number(low: float, high: float, *, exclusive: bool = False) -> Callable[[str], float]:
    """Return a type that accepts numbers from ``low``, or above it if ``exclusive``, to ``high``."""
    wanted = f"give a number {f'above {low:g}, at most' if exclusive else f'from {low:g} to'} {high:g}"

    def parse(text: str) -> float:
        if not text.strip():
            raise argparse.ArgumentTypeError(f"is empty; {wanted}")
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{shorten(text)} is not a number; {wanted}") from None
        if not math.isfinite(value) or not low <= value <= high or (exclusive and value == low):
            raise argparse.ArgumentTypeError(f"{shorten(text)} is out of range; {wanted}")
        return value

    return parse


def path(text: str) -> Path:
    """Return a path that a file system can hold."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{shorten(text)} holds a NUL byte, which no path can")
    _check_local(text)
    found = Path(text)
    names = (len(part.encode("utf-8", "surrogateescape")) for part in found.parts)
    if len(text.encode("utf-8", "surrogateescape")) > _MAX_PATH_BYTES or max(names, default=0) > _MAX_NAME_BYTES:
        raise argparse.ArgumentTypeError(f"{shorten(text)} is too long for a path; give a shorter one")
    return found


def network_name(text: str) -> str:
    """Return the name of a network, or the path of one as text."""
    _check_local(text)
    return words(text)


def _check_local(text: str) -> None:
    if is_url(text):
        what = f"{shorten(hide_secrets(text))} is in a store, and this takes a local path"
        raise argparse.ArgumentTypeError(f"{what}; prepixel fetch URL FOLDER fetches runs")


def location(text: str) -> AnyPath:
    """Return a path, or that of a folder in a store: ``s3://BUCKET/FOLDER`` and the like."""
    try:
        return to_path(text) if is_url(text) else path(text)
    except StoreError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def output_location(text: str) -> AnyPath:
    """Return a folder to write into, which need not exist yet, or that of a store."""
    return location(text) if is_url(text) else output_folder(text)


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """Return a type that accepts the path of a file to write, ending in one of ``suffixes`` if any are given."""

    def parse(text: str) -> Path:
        found = path(text)
        if suffixes and found.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{shorten(text)} must end in {' or '.join(suffixes)}")
        if found.is_dir():
            raise argparse.ArgumentTypeError(f"{shorten(text)} is a folder; name a file to write")
        return found

    return parse


def output_folder(text: str) -> Path:
    """Return the path of a folder to write into, which need not exist yet."""
    found = path(text)
    if found.exists() and not found.is_dir():
        raise argparse.ArgumentTypeError(f"{shorten(text)} is a file; name a folder")
    return found


def part_number(text: str) -> PartNumber:
    """Return one of several equal parts, ``I/N``."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{shorten(text)} is no part; give I/N with I from 1 to N, such as 3/16")
    return PartNumber(int(found[1]), int(found[2]))


def words(text: str) -> str:
    """Return a text of at most 500 characters that is not blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; leave the option out instead")
    if len(text) > _MAX_TEXT:
        raise argparse.ArgumentTypeError(f"{shorten(text)} has {len(text):,} characters; give at most {_MAX_TEXT}")
    return text


def shorten(text: str, limit: int = 60) -> str:
    """Return a quoted text, with its middle left out where it is long."""
    half = limit // 2
    return repr(text if len(text) <= limit else f"{text[:half]}...{text[-half:]}")
