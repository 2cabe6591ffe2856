"""Damaged, incomplete and older shards: what is named, refused or packed again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.data.datasets.packed_source import BANDS, make_shards, make_source

from prepixel.data import (
    CenterCrop,
    CropDataset,
    DatasetError,
    PackedDataset,
    SpectrumReader,
)
from prepixel.data.jobs.pack_dataset import PackOptions, estimate_packing, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.data.jobs.pack_units import merge_packed
from prepixel.errors import MalformedPack


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def shards(source: Path) -> Path:
    return make_shards(source)


def damaged(shards: Path, target: Path) -> Path:
    target.mkdir()
    for path in shards.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_damage_is_named_and_counted_not_hidden(shards: Path, tmp_path: Path) -> None:
    folder = damaged(shards, tmp_path / "damaged")
    row = json.loads((folder / "shard-000001.jsonl").read_text(encoding="utf-8").splitlines()[2])
    tar = bytearray((folder / "shard-000001.tar").read_bytes())
    tar[row["offset"] + row["size"] // 2] ^= 16
    (folder / "shard-000001.tar").write_bytes(tar)
    packed = PackedDataset(folder)
    PackedDataset(shards).verify()
    with pytest.raises(MalformedPack, match=r"shard-000001\.tar/00000013\.ppx: its bytes are not those"):
        packed.verify()
    dataset = CropDataset(packed, SpectrumReader((3, 5), BANDS), CenterCrop(), 0, 1)
    fetched = dataset.__getitems__([(0, 12), (0, 13), (0, 14)])
    assert fetched.batch.indices.tolist() == [12, 14]
    (failure,) = fetched.failures
    assert failure.source == f"{folder}/shard-000001.tar/00000013.ppx"
    assert str(failure.error).startswith(f"{folder}/shard-000001.tar/00000013.ppx, byte ")
    assert isinstance(failure.error, MalformedPack)


def test_missing_and_strange_parts_are_named(shards: Path, tmp_path: Path) -> None:
    folder = damaged(shards, tmp_path / "a")
    (folder / "shard-000002.tar").write_bytes((folder / "shard-000002.tar").read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"shard-000002\.tar: has 2000 bytes, and \d+ were written; copy it again"):
        PackedDataset(folder)
    (folder / "shard-000002.jsonl").unlink()
    with pytest.raises(DatasetError, match="shard-000002, one of 4, is missing; let prepixel pack come to its end"):
        PackedDataset(folder)
    (folder / "shard-000001.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(
        DatasetError, match=r"shard-000001\.jsonl: its 1 lines are not the 11 that were written; copy it again"
    ):
        PackedDataset(folder)
    (folder / "manifest.json").write_text('{"format": "prepixel shards", "version": 9}', encoding="utf-8")
    with pytest.raises(
        DatasetError, match=r"is no manifest of shards that this version reads \(format and version are .*9"
    ):
        PackedDataset(folder)
    with pytest.raises(DatasetError, match=r"holds no manifest\.json; name a folder that prepixel pack wrote"):
        PackedDataset(tmp_path)


@pytest.mark.parametrize("lines", [0, 5])
def test_an_index_that_lost_its_lines_is_seen_and_its_shard_packed_again(
    source: Path, shards: Path, tmp_path: Path, lines: int
) -> None:
    folder = damaged(shards, tmp_path / "damaged")
    index = folder / "shard-000001.jsonl"
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:lines]))
    with pytest.raises(DatasetError, match=rf"jsonl: its {lines} lines are not the 11 that were written; copy it"):
        PackedDataset(folder)
    report = pack_source(open_source(source), folder, PackOptions(BANDS, shard_size=11))
    assert report.num_earlier == report.num_samples - 11
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in shards.iterdir()
    }


def with_row(shards: Path, target: Path, changes: dict[str, Any]) -> Path:
    """Change a line of an index, and its checksum in the manifest."""
    folder = damaged(shards, target)
    index, manifest = folder / "shard-000000.jsonl", json.loads((folder / "manifest.json").read_bytes())
    lines = index.read_bytes().split(b"\n")
    lines[3] = json.dumps(json.loads(lines[3]) | changes).encode()
    index.write_bytes(b"\n".join(lines))
    manifest["shards"][0]["index_sha256"] = hashlib.sha256(index.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"label": -1}, "line 4: label is -1, below 0"),
        ({"label": 7}, "line 4: label is 7, and there are 7 classes"),
        ({"label": True}, "line 4: label is true, not a whole number"),
        ({"label": 2**63}, "line 4: label is beyond 64 bits"),
        ({"offset": 10**9}, "line 4: its image ends behind the tar's end"),
        ({"size": "7"}, "line 4: size is text, not a whole number"),
        ({"kind": "gone"}, "line 4: kind is 'gone'"),
        ({"crc32": "xyz"}, "line 4: crc32 is 'xyz'"),
        ({"path": None}, "line 4: 'path' is null, not text"),
        ({"key": "00000004"}, "line 4: key '00000004' in the place of 00000003"),
        ({"more": 1}, "line 4: it has unknown keys: 'more'"),
    ],
)
def test_every_field_of_an_index_is_checked(shards: Path, tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    assert len(PackedDataset(with_row(shards, tmp_path / "same", {}))) == len(PackedDataset(shards))
    with pytest.raises(DatasetError, match=text):
        PackedDataset(with_row(shards, tmp_path / "changed", changes))


def test_a_manifest_that_claims_many_shards_is_refused_at_once(source: Path, shards: Path, tmp_path: Path) -> None:
    folder, packed = damaged(shards, tmp_path / "claims"), open_source(source)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["parts"][0] |= {"num_samples": 11 * 5 * 10**6, "num_shards": 5 * 10**6}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"shards": []}), encoding="utf-8")
    with pytest.raises(DatasetError, match="shard-000000, one of 5000000, is missing"):
        PackedDataset(folder)
    for act in (pack_source, estimate_packing):
        with pytest.raises(
            DatasetError, match=r"claims: its manifest is damaged: \d+ images were listed, and it says 55"
        ):
            act(packed, folder, PackOptions(BANDS, shard_size=11))
    with pytest.raises(DatasetError, match=r"more than 1000 of 5000000 shards are not finished \(shard-000000, sh"):
        merge_packed(folder)
    other = open_source(make_source(tmp_path))
    other = dataclasses.replace(other, entries=other.entries[:3])
    with pytest.raises(DatasetError, match="claims: shard-000000 is not finished; let that run come to its end first"):
        pack_source(other, folder, PackOptions(BANDS, shard_size=11), append=True)


def mutated(value: Any, draw: random.Random) -> Any:
    """Replace one value somewhere within, or drop it."""
    if isinstance(value, dict | list) and value and draw.random() < 0.85:
        key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
        copy = value.copy()
        if draw.random() < 0.15:
            del copy[key]
        else:
            copy[key] = mutated(value[key], draw)
        return copy
    return draw.choice([None, True, -1, 0, 5 * 10**8, 2**70, 1e400, float("nan"), "", "x" * 99, [], [[]], {}, {"a": 1}])


def test_a_mutated_manifest_is_read_the_same_or_refused(shards: Path, tmp_path: Path) -> None:
    folder, draw = damaged(shards, tmp_path / "mutated"), random.Random(1)
    whole = json.loads((folder / "manifest.json").read_bytes())
    expected = [sample.label for sample in PackedDataset(shards).samples]
    refused = 0
    for _ in range(300):
        (folder / "manifest.json").write_text(json.dumps(mutated(whole, draw)), encoding="utf-8")
        try:
            found = [sample.label for sample in PackedDataset(folder).samples]
        except DatasetError:
            refused += 1
        else:
            assert found == expected
    assert 200 <= refused < 300  # names of classes and sources, and numbers of options, may be others


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_index_is_refused(shards: Path, tmp_path: Path, seed: int) -> None:
    folder, draw = damaged(shards, tmp_path / "damaged"), random.Random(seed)
    whole = (folder / "shard-000002.jsonl").read_bytes()
    for _ in range(10):
        contents = bytearray(whole)
        contents[draw.randrange(len(contents))] ^= 1 << draw.randrange(8)
        (folder / "shard-000002.jsonl").write_bytes(
            contents[: draw.choice([len(contents), draw.randrange(len(contents))])]
        )
        with pytest.raises(DatasetError, match=r"shard-000002\.jsonl"):
            PackedDataset(folder)


def test_shards_of_the_first_version_are_read(shards: Path, tmp_path: Path) -> None:
    folder = damaged(shards, tmp_path / "old")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["shards"], manifest["classes"]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 1}), encoding="utf-8")
    assert list(PackedDataset(folder).samples) == [
        sample._replace(path=sample.path.replace(str(shards), str(folder))) for sample in PackedDataset(shards).samples
    ]
    index = folder / "shard-000001.jsonl"
    rows = [json.loads(line) for line in index.read_bytes().splitlines()]
    rows[3]["path"] = "cats\u0085dogs/line\u2028sep.jpg"  # unescaped, as it was written then
    index.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert PackedDataset(folder).names()[11 + 3] == rows[3]["path"]
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:5]))
    with pytest.raises(DatasetError, match=r"shard-000001\.jsonl: has 5 whole lines, and its shard has 11"):
        PackedDataset(folder)
