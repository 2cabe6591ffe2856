"""The text formats of classification data sets: lists of class names, and listings of images with class numbers.

Both are UTF-8, with or without a byte order mark; lines end in LF or CR LF. docs/formats/labels.md states them.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from prepixel.errors import DatasetError
from prepixel.files import read_regular_file

LISTING_NAME = "labels.txt"
# The largest public data sets have some 200,000 classes; a number above this is a mistake, and names cost memory.
MAX_CLASSES = 1 << 20
_MAX_BYTES = 1 << 32
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_ENTRY = re.compile(r"(.*?\S)(?:[ \t]*[,\t][ \t]*|[ \t]+)([+-]?\d+)[ \t]*", re.DOTALL)
_USAGE = "it should hold lines 'file class-number'"


def _text(path: Path, what: str, hint: str) -> str:
    """Read a text file; bytes that are not UTF-8 become surrogates, as in file names."""
    try:
        contents = read_regular_file(path, _MAX_BYTES)
    except OSError as error:
        raise DatasetError(f"{path}: {what} cannot be read ({error.strerror}); {hint}") from error
    for mark, encoding in _MARKS:
        if contents.startswith(mark):
            raise DatasetError(f"{path}: {what} is in {encoding}; save it as UTF-8")
    if b"\0" in contents:
        place = contents.index(b"\0")
        raise DatasetError(
            f"{path}, byte {place}: {what} holds a zero byte; it is binary, or in UTF-16: save it as UTF-8"
        )
    return contents.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def read_lines(path: Path, what: str, hint: str) -> list[str]:
    """Return a text file's lines, split at LF and CR LF alone; bytes that are not UTF-8 become surrogates.

    Args:
        path: the file.
        what: what the file is, for messages, such as "the listing".
        hint: what the file should hold, for messages.

    Raises:
        DatasetError: the file cannot be read, or is not in UTF-8 by its mark or a zero byte.
    """
    return _lines(_text(path, what, hint))


def _lines(text: str) -> list[str]:
    """Split at LF and CR LF alone: other separators of Unicode may be part of a name."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def _not_utf8(line: str) -> str | None:
    """Return the first byte of a line that is not UTF-8; None where all are."""
    letter = next((letter for letter in line if "\udc80" <= letter <= "\udcff"), None)
    return None if letter is None else f"0x{ord(letter) - 0xDC00:02X}"


# -- class names -------------------------------------------------------------------------------------------------------


def read_class_names(given: Sequence[str] | str | os.PathLike[str] | None) -> tuple[str, ...] | None:
    """Return class names in order of their labels, of a list or of a text file; None of None.

    A file has one name a line. Empty lines are passed over and blanks at a line's edges dropped. A line that is a JSON
    string, quotes included, is that string, so that any name can be written: see `class_lines`.

    Raises:
        DatasetError: the file cannot be read or is not UTF-8, there is no name, a blank one, or too many.
    """
    if given is None:
        return None
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        hint = "give a text file with one class a line, in order of their labels"
        names = []
        for number, line in enumerate(_lines(_text(path, "the list of class names", hint)), start=1):
            if (byte := _not_utf8(line)) is not None:
                raise DatasetError(f"{path}, line {number}: byte {byte} is not UTF-8; save the list as UTF-8")
            if line.strip():
                names.append(_class_name(line.strip()))
    else:
        names = list(given)
    if not names:
        raise DatasetError("the list of class names is empty; leave it out, or name at least one class")
    if len(names) > MAX_CLASSES:
        raise DatasetError(f"the list of class names has {len(names)} names; there can be {MAX_CLASSES} at most")
    blank = next((label for label, name in enumerate(names) if not name.strip()), None)
    if blank is not None:
        raise DatasetError(f"class name {blank} is blank; give every class a name")
    return tuple(names)


def class_lines(names: Sequence[str]) -> str:
    """Return a text file of class names that `read_class_names` reads back exactly.

    A name stands as it is, or as a JSON string where the plain line would be read as another name: with blanks at its
    edges, line ends or characters that are not valid Unicode in it, or a quotation mark in front.
    """
    return "".join((name if _is_plain(name) else json.dumps(name)) + "\n" for name in names)


def _is_plain(name: str) -> bool:
    return name == name.strip() and not name.startswith('"') and name.isprintable()


def _class_name(line: str) -> str:
    if line.startswith('"'):
        try:
            name = json.loads(line)
        except ValueError:
            return line
        if isinstance(name, str):
            return name
    return line


# -- listings ----------------------------------------------------------------------------------------------------------


def read_listing(root: Path, listing: Path) -> list[tuple[str, int]]:
    """Read a listing: the paths of images, and their class numbers.

    A line is a path below the folder and a class number, with blanks, a tab or a comma between them: the number is
    what follows the last of these, so names may hold blanks and commas. A line that begins with a quotation mark is
    CSV (RFC 4180): ``"a ""b"".jpg",3``. Empty lines are passed over, and lines that begin with ``#``, unless they
    name a file that is there.

    Raises:
        DatasetError: the listing cannot be read; a line is neither, or its number is implausible; a file is not there,
            lies outside the folder, or is listed with two classes.
    """
    entries: list[tuple[str, int]] = []
    labels: dict[str, int] = {}
    for number, line in enumerate(_lines(_text(listing, "the listing", _USAGE)), start=1):
        where = f"{listing}, line {number}"
        if not line.strip():
            continue
        found = _entry(line)
        if line.lstrip().startswith("#") and (found is None or not (root / found[0]).is_file()):
            continue
        if found is None:
            raise DatasetError(f"{where}: {_shown(line)} is not 'file class-number'")
        file, word = found
        label = _label(word, where)
        path = listed_file(root, file, where, line)
        if labels.setdefault(path, label) != label:
            raise DatasetError(f"{where}: {_shown(file)} has class {label} here, and {labels[path]} in a line before")
        entries.append((path, label))
    if not entries:
        raise DatasetError(f"{listing}: lists no image; {_USAGE}")
    return entries


def _entry(line: str) -> tuple[str, str] | None:
    """Split a line into a path and a number; None where it is none."""
    if line.lstrip().startswith('"'):
        try:
            row = next(csv.reader([line], skipinitialspace=True, strict=True))
        except (csv.Error, StopIteration):
            row = []
        if len(row) == 2 and row[0] and re.fullmatch(r"[+-]?\d+", row[1].strip()):
            return row[0], row[1].strip()
    match = _ENTRY.fullmatch(line.strip())
    return (match[1], match[2]) if match else None


def _label(word: str, where: str) -> int:
    if len(word) > 9 or not word.isascii() or not 0 <= int(word) < MAX_CLASSES:
        raise DatasetError(
            f"{where}: class number {word[:30]} is not from 0 to {MAX_CLASSES - 1}; classes count from 0"
        )
    return int(word)


def listed_file(root: Path, file: str, where: str, line: str) -> str:
    """Return the path of a listed file, which must be there and below the folder.

    Args:
        root: the folder that the file's name is relative to.
        file: the name.
        where: the listing and the line, for messages.
        line: the text that holds the name; a byte of it that is not UTF-8 is named.

    Raises:
        DatasetError: the file lies outside the folder, or is not there.
    """
    if leaves_folder(file):
        raise DatasetError(f"{where}: {_shown(file)} lies outside {root}; list paths below it")
    path = os.path.join(root, file)  # noqa: PTH118  (a million Paths cost seconds)
    if not os.path.isfile(path):  # noqa: PTH113
        byte = _not_utf8(line)
        hint = f"; byte {byte} is not UTF-8: save the listing as UTF-8" if byte else ""
        raise DatasetError(f"{where}: no file {path}; the listing and its folder do not agree{hint}")
    return path


def leaves_folder(name: str) -> bool:
    """Return whether a path that a file names is absolute, or leads out of the folder that it is relative to."""
    parts = name.replace("\\", "/").split("/") if os.name == "nt" else name.split("/")
    depth = 0
    for part in parts:
        depth += 0 if part in {"", "."} else -1 if part == ".." else 1
        if depth < 0:
            return True
    return Path(name).is_absolute() or "\0" in name


def check_stems(stems: list[str], listing: Path, folder: str) -> list[str]:
    """Return the names of files without their endings that a list holds.

    Args:
        stems: the names.
        listing: the list, for messages.
        folder: what messages call the folder that they are relative to.

    Raises:
        DatasetError: a name is there twice, or leads out of the folder.
    """
    seen: set[str] = set()
    for stem in stems:
        if stem in seen:
            raise DatasetError(f"{listing}: lists {stem!r} twice; list each photo once")
        if leaves_folder(stem):
            raise DatasetError(f"{listing}: {stem!r} lies outside {folder}; list names below it")
        seen.add(stem)
    return stems


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")
