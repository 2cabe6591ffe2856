"""The files beside the shards of a packed data set: manifest, indices, and the journal of finished shards.

docs/formats/packed-images.md describes them. Everything read is checked: types, ranges, row counts and checksums.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from prepixel.data.datasets.text_formats import MAX_CLASSES, read_class_names
from prepixel.data.read_ahead import map_requests
from prepixel.data.units import RECORDS, JobHeader, UnitRecords
from prepixel.errors import DatasetError, describe_error, reason_of
from prepixel.files import json_bytes, read_regular_file, replace_file, sync_file
from prepixel.spectrum.strict_json import checked_keys, integer_of, text_of
from prepixel.stores.remote_path import AnyPath

MANIFEST, CLASSES, JOURNAL = "manifest.json", "classes.txt", ".prepixel-finished.jsonl"
FORMAT, VERSION = "prepixel shards", 2
_MAX_BYTES = 1 << 30  # of a manifest or an index
_MAX_SHARD_SIZE = 1_000_000

Kind = Literal["packed", "stored", "skipped"]


def shard_name(number: int) -> str:
    """Return a shard's name without its ending."""
    return f"shard-{number:06}"


@dataclass(frozen=True)
class ShardRow:
    """Describe one image in a shard's index.

    Attributes:
        key: of the sample's members: its number among all samples, eight digits.
        kind: ``packed``; ``stored``: the file's own bytes; ``skipped``: not there.
        path: the file's, below its source.
        label: index into the classes.
        before: the file's bytes.
        offset: where in the tar the image begins.
        size: its bytes.
        crc32: of these, in hexadecimal.
        error: of a skipped image, the class name of its error.
        message: the error's text.
    """

    key: str
    kind: Kind
    path: str
    label: int
    before: int
    offset: int = 0
    size: int = 0
    crc32: str = ""
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class ShardSummary:
    """State what a finished shard holds, so that a lost line or a truncated file is found.

    Attributes:
        num_rows: lines of the index.
        num_samples: of these, samples in the tar.
        index_sha256: of the index file.
        tar_bytes: size of the tar.
    """

    num_rows: int
    num_samples: int
    index_sha256: str
    tar_bytes: int


@dataclass(frozen=True)
class Part:
    """Describe the shards that one source became.

    Attributes:
        source: its name.
        listing: SHA-256 of its list of names, sizes and labels.
        num_samples: its images.
        first_shard: number of its first shard.
        num_shards: how many follow.
    """

    source: str
    listing: str
    num_samples: int
    first_shard: int
    num_shards: int


@dataclass(frozen=True)
class Manifest:
    """State what a folder of shards holds.

    Attributes:
        options: what was asked for; `PackOptions.to_manifest`.
        classes: class names in order of their labels.
        parts: the sources that were packed, in order.
        finished: summaries of the finished shards by number; empty in version 1, which has none.
        version: of the format.
    """

    options: Mapping[str, Any]
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    finished: Mapping[int, ShardSummary] = field(default_factory=dict)
    version: int = VERSION

    @property
    def num_shards(self) -> int:
        """Count the shards of all parts, finished or not."""
        return self.parts[-1].first_shard + self.parts[-1].num_shards

    def num_rows(self, number: int) -> int:
        """Return how many lines a shard's index must have."""
        part = next(part for part in self.parts if number < part.first_shard + part.num_shards)
        size = self.options["shard_size"]
        return int(min(size, part.num_samples - (number - part.first_shard) * size))

    def first_key(self, number: int) -> int:
        """Return the number of a shard's first image among all images."""
        before = 0
        for part in self.parts:
            if number < part.first_shard + part.num_shards:
                return before + int(self.options["shard_size"]) * (number - part.first_shard)
            before += part.num_samples
        raise ValueError(f"no part has shard {number}")


def encode_index(rows: list[ShardRow]) -> bytes:
    """Encode an index: a line of ASCII JSON for each row, so that no name can hold a line's end."""
    return "".join(json.dumps(row.__dict__) + "\n" for row in rows).encode("ascii")


def read_index(folder: AnyPath, manifest: Manifest, number: int) -> list[ShardRow]:
    """Read a shard's index.

    Raises:
        DatasetError: the shard is not finished; its index or its tar is not what was written.
    """
    path = folder / f"{shard_name(number)}.jsonl"
    summary = manifest.finished.get(number)
    if manifest.version > 1 and summary is None:
        raise _unfinished(folder, manifest, number)
    try:
        contents = read_regular_file(path, _MAX_BYTES)
        tar_bytes = path.with_suffix(".tar").stat().st_size
    except FileNotFoundError:
        raise _unfinished(folder, manifest, number) from None
    except OSError as error:
        raise DatasetError(describe_error(error, str(path))) from error
    lines = contents.split(b"\n")
    num_rows = len(lines) - 1
    if summary is not None:
        if (num_rows, hashlib.sha256(contents).hexdigest()) != (summary.num_rows, summary.index_sha256):
            raise _damaged(path, f"its {num_rows} lines are not the {summary.num_rows} that were written")
        if tar_bytes != summary.tar_bytes:
            raise _damaged(path.with_suffix(".tar"), f"has {tar_bytes} bytes, and {summary.tar_bytes} were written")
    if lines[-1] or num_rows != manifest.num_rows(number):
        raise _damaged(path, f"has {num_rows} whole lines, and its shard has {manifest.num_rows(number)}")
    first_key, rows = manifest.first_key(number), []
    for place, line in enumerate(lines[:-1]):
        try:
            row = _row(json.loads(line), len(manifest.classes), tar_bytes)
            if row.key != f"{first_key + place:08}":
                raise ValueError(f"key {row.key!r} in the place of {first_key + place:08}")
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"line {place + 1}: {error}") from error
        rows.append(row)
    return rows


def _unfinished(folder: AnyPath, manifest: Manifest, number: int) -> DatasetError:
    return DatasetError(
        f"{folder}: {shard_name(number)}, one of {manifest.num_shards}, is missing; "
        "let prepixel pack come to its end, by the command that began it; after all parts: prepixel merge"
    )


def _damaged(path: AnyPath, what: str) -> DatasetError:
    return DatasetError(
        f"{path}: {what}; copy it again, or run the command that packed it, which packs this shard again"
    )


def _row(fields: Any, num_classes: int, tar_bytes: int) -> ShardRow:
    """Check a line of an index."""
    names = ("key", "kind", "path", "label", "before", "offset", "size", "crc32", "error", "message")
    checked_keys(fields, "it", required=names)
    for name in ("key", "kind", "path", "crc32", "error", "message"):
        text_of(fields, name)
    for name in ("label", "before", "offset", "size"):
        if integer_of(fields[name], name) < 0:
            raise ValueError(f"{name} is {fields[name]}, below 0")
    if fields["kind"] not in {"packed", "stored", "skipped"}:
        raise ValueError(f"kind is {fields['kind']!r}")
    if fields["label"] >= num_classes:
        raise ValueError(f"label is {fields['label']}, and there are {num_classes} classes")
    if fields["kind"] != "skipped" and not re.fullmatch(r"[0-9a-f]{8}", fields["crc32"]):
        raise ValueError(f"crc32 is {fields['crc32'][:20]!r}")
    if fields["offset"] + fields["size"] > tar_bytes:
        raise ValueError("its image ends behind the tar's end")
    return ShardRow(**fields)


# -- the manifest ------------------------------------------------------------------------------------------------------


def write_manifest(folder: AnyPath, manifest: Manifest) -> None:
    """Write a manifest; summaries of finished shards go along once all are finished, and the journal goes."""
    complete = len(manifest.finished) == manifest.num_shards
    replace_file(folder / MANIFEST, _manifest_bytes(manifest, with_summaries=complete))
    if complete:
        (folder / JOURNAL).unlink(missing_ok=True)
    else:
        _write_journal(folder, manifest)


def _manifest_bytes(manifest: Manifest, *, with_summaries: bool = False) -> bytes:
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "options": dict(manifest.options),
        "classes": list(manifest.classes),
        "parts": [asdict(part) for part in manifest.parts],
    }
    if with_summaries:
        fields["shards"] = [asdict(manifest.finished[number]) for number in range(manifest.num_shards)]
    return json_bytes(fields, indent=1) + b"\n"


def begin_manifest(folder: AnyPath, manifest: Manifest) -> None:
    """Write the manifest of shards that several processes will write; each may call this.

    A manifest of the same parts is left as it is. Before one is replaced by one with a further part, the summaries of
    shards that are finished go to the journal.
    """
    contents, found = _manifest_bytes(manifest), read_manifest(folder)
    if found is not None and _manifest_bytes(found) == contents:
        return
    if manifest.finished:
        _write_journal(folder, manifest)
    replace_file(folder / MANIFEST, contents)


def _write_journal(folder: AnyPath, manifest: Manifest) -> None:
    lines = (_journal_line(number, summary) for number, summary in sorted(manifest.finished.items()))
    replace_file(folder / JOURNAL, b"".join(lines))


def append_finished(folder: AnyPath, number: int, summary: ShardSummary) -> None:
    """Record that a shard is finished; its tar and its index must be on the disk."""
    assert isinstance(folder, Path)  # stores cannot append; packing into one keeps a record of each shard
    with (folder / JOURNAL).open("ab") as file:
        file.write(_journal_line(number, summary))
        sync_file(file)


def _journal_line(number: int, summary: ShardSummary) -> bytes:
    return json.dumps({"shard": number, **asdict(summary)}).encode("ascii") + b"\n"


def read_manifest(folder: AnyPath) -> Manifest | None:
    """Read a folder's manifest, with the journal of a run that is not finished; None where there is none.

    Raises:
        DatasetError: it cannot be understood.
    """
    path = folder / MANIFEST
    try:
        manifest = _manifest(json.loads(read_regular_file(path, _MAX_BYTES)), folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError, RecursionError) as error:
        raise DatasetError(f"{path}: is no manifest of shards that this version reads ({reason_of(error)})") from error
    return Manifest(
        manifest.options,
        manifest.classes,
        manifest.parts,
        {**manifest.finished, **dict(_journal(folder, manifest.num_shards))},
        manifest.version,
    )


def add_recorded(folder: AnyPath, manifest: Manifest, part: Part, numbers: range) -> Manifest:
    """Return a manifest with the summaries that records of units hold for some of a part's shards.

    Raises:
        DatasetError: a record cannot be read, or is that of another source.
    """
    records = UnitRecords(folder / RECORDS, JobHeader("pack", part.listing, manifest.num_shards))
    present = [number for number in sorted(records.present()) if number in numbers]
    found = dict(zip(present, map(_summary, map_requests(records.read, present, folder)), strict=True))
    return replace(manifest, finished={**manifest.finished, **found}) if found else manifest


def _journal(folder: AnyPath, num_shards: int) -> Iterator[tuple[int, ShardSummary]]:
    """Yield what the journal says; the last line of a killed run may be torn, and says nothing then."""
    try:
        lines = read_regular_file(folder / JOURNAL, _MAX_BYTES).split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            fields = json.loads(line)
            number = integer_of(fields.pop("shard"), "shard")
            if 0 <= number < num_shards:
                yield number, _summary(fields)
        except (ValueError, AttributeError, KeyError, RecursionError):
            continue


def _manifest(fields: Any, folder: AnyPath) -> Manifest:
    if not isinstance(fields, dict) or (fields.get("format"), fields.get("version")) not in ((FORMAT, 1), (FORMAT, 2)):
        found = (fields.get("format"), fields.get("version")) if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"format and version are {str(found)[:60]}")
    version = integer_of(fields["version"], "version")
    required = ("format", "version", "options", "parts", *(("classes",) if version > 1 else ()))
    checked_keys(fields, "it", required=required, optional=("shards",))
    options = _options(fields["options"])
    if version > 1:
        classes = fields["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError("classes are no list of names")
    else:
        classes = read_class_names(folder / CLASSES) or ()
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise ValueError(f"it names {len(classes)} classes; there can be 1 to {MAX_CLASSES:,}")
    parts = tuple(_parts(fields["parts"], options["shard_size"]))
    manifest = Manifest(options, tuple(classes), parts, {}, version)
    shards = fields.get("shards", [])
    if not isinstance(shards, list) or len(shards) not in {0, manifest.num_shards}:
        raise ValueError(f"shards are no list of {manifest.num_shards} summaries")
    return Manifest(options, tuple(classes), parts, dict(enumerate(map(_summary, shards))), version)


def _options(options: Any) -> dict[str, Any]:
    names = ("bands", "frequencies", "compression", "level", "shard_size", "on_error")
    checked_keys(options, "options", required=names)
    for name in ("bands", "compression", "on_error"):
        text_of(options, name)
    if not 1 <= integer_of(options["shard_size"], "shard_size") <= _MAX_SHARD_SIZE:
        raise ValueError(f"shard_size is {options['shard_size']}, not 1 to {_MAX_SHARD_SIZE:,}")
    integer_of(options["level"], "level")
    frequencies = options["frequencies"]
    if not isinstance(frequencies, list) or len(frequencies) != 3:
        raise ValueError("frequencies are no list of three lists")
    for component in frequencies:
        if not isinstance(component, list) or not all(
            0 <= integer_of(index, "a frequency") < 64 for index in component
        ):
            raise ValueError("frequencies are no lists of numbers from 0 to 63")
    return dict(options)


def _parts(parts: Any, shard_size: int) -> Iterator[Part]:
    if not isinstance(parts, list) or not parts:
        raise ValueError("parts are no list of sources")
    next_shard = 0
    for fields in parts:
        checked_keys(fields, "a part", required=("source", "listing", "num_samples", "first_shard", "num_shards"))
        for name in ("source", "listing"):
            text_of(fields, name)
        for name in ("num_samples", "first_shard", "num_shards"):
            integer_of(fields[name], name)
        part = Part(**fields)
        if part.num_samples < 1 or part.num_shards != -(-part.num_samples // shard_size):
            raise ValueError(
                f"a part has {part.num_shards} shards for {part.num_samples} images of at most {shard_size} each"
            )
        if part.first_shard != next_shard:
            raise ValueError(f"a part begins at shard {part.first_shard}, not at {next_shard}")
        next_shard += part.num_shards
        yield part


def _summary(fields: Any) -> ShardSummary:
    checked_keys(fields, "a shard", required=("num_rows", "num_samples", "index_sha256", "tar_bytes"))
    if not re.fullmatch(r"[0-9a-f]{64}", text_of(fields, "index_sha256")):
        raise ValueError("index_sha256 is no checksum")
    if not 0 <= integer_of(fields["num_samples"], "num_samples") <= integer_of(fields["num_rows"], "num_rows"):
        raise ValueError("a shard has more samples than lines, or fewer than 0")
    if integer_of(fields["tar_bytes"], "tar_bytes") < 0:
        raise ValueError("tar_bytes is below 0")
    return ShardSummary(**fields)
