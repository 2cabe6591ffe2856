"""Shards read: the same views as of the JPEGs, by any tool, from any place, and nothing stays open."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.jobs.killed_packing import write_source
from tests.jpeg.small_files import by_pillow
from tests.jpeg.test_bandlimit import S24

from prepixel.data import (
    CenterCrop,
    CropDataset,
    CropLoader,
    DatasetError,
    FolderDataset,
    PackedDataset,
    PixelReader,
    RandomCrop,
    SpectrumReader,
    open_dataset,
)
from prepixel.data.jobs.pack_dataset import PackOptions, pack_source
from prepixel.data.jobs.pack_sources import open_source
from prepixel.errors import MalformedPack, UnreadableImage
from prepixel.jpeg import bandlimit_jpeg, pack_jpeg, read_pack_header
from prepixel.spectrum import BandSet, Spectrum

BANDS = BandSet.parse("S-24")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "source"
    write_source(folder, 37)
    return folder


@pytest.fixture(scope="module")
def shards(source: Path) -> Path:
    pack_source(open_source(source), source.parent / "s24", PackOptions(BANDS, shard_size=11))
    return source.parent / "s24"


@pytest.fixture(scope="module")
def whole(source: Path) -> Path:
    pack_source(open_source(source), source.parent / "all", PackOptions(None, "none", shard_size=7))
    return source.parent / "all"


@pytest.fixture(scope="module")
def thinned(source: Path) -> Path:
    """The source's JPEGs thinned to the same bands; what is no JPEG, and what cannot be read, as it is."""
    for path in source.rglob("*.*"):
        target = source.parent / "thinned" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(bandlimit_jpeg(path, S24))
        except ValueError:
            target.write_bytes(path.read_bytes())
    return source.parent / "thinned"


def batches(root: Path, rank: int = 0, world_size: int = 1, threads: int = 2, workers: int = 0) -> list[Spectrum]:
    files = open_dataset(root)
    reader = SpectrumReader((3, 5), BANDS, dtype=torch.int8, unit=torch.linspace(1, 7, 24))
    loader = CropLoader(
        files,
        reader,
        batch_size=6,
        crop=RandomCrop(),
        seed=3,
        training=True,
        rank=rank,
        world_size=world_size,
        threads=threads,
        workers=workers,
        on_error="skip",
        max_bad_fraction=1.0,
    )
    return [batch for epoch in (0, 1) for batch in loader.epoch(epoch)]  # type: ignore[misc]


def test_a_folder_of_shards_is_a_data_set(shards: Path, source: Path) -> None:
    files, packed = FolderDataset(source), open_dataset(shards)
    assert isinstance(packed, PackedDataset)
    assert isinstance(open_dataset(source), FolderDataset)
    assert packed.classes == files.classes
    assert len(packed) == len(files) - 1  # one is damaged
    damaged = next(i for i, sample in enumerate(files.samples) if sample.path.endswith("020.jpg"))
    labels = [sample.label for i, sample in enumerate(files.samples) if i != damaged]
    assert [sample.label for sample in packed.samples] == labels
    assert sum(packed.num_per_class()) == len(packed)
    assert packed.num_per_class()[0] == labels.count(0)
    assert packed.samples[0].path.endswith("shard-000000.tar/00000000.ppx")
    assert packed.samples[-2:] == (packed.samples[len(packed) - 2], packed.samples[len(packed) - 1])


def test_training_views_are_those_of_the_jpegs(
    shards: Path, whole: Path, source: Path, thinned: Path, tmp_path: Path
) -> None:
    # indices differ by the damaged file, and with them draws; so it is left out of the JPEGs
    source, thinned = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (source, thinned))
    for folder in (source, thinned):
        (folder / "class6" / "020.jpg").unlink()
    for folder, packed in ((thinned, shards), (source, whole)):
        expected = batches(folder)
        assert len(expected) == 12
        for options in ({}, {"threads": 1}, {"threads": 8}, {"workers": 2}):
            for a, b in zip(expected, batches(packed, **options), strict=True):
                assert torch.equal(a.inputs.values, b.inputs.values)  # type: ignore[attr-defined]
                assert torch.equal(a.targets, b.targets)  # type: ignore[attr-defined]
                assert torch.equal(a.indices, b.indices)  # type: ignore[attr-defined]


def test_ranks_share_the_batches(shards: Path) -> None:
    together = batches(shards)
    ranks = [batches(shards, rank, 2) for rank in (0, 1)]
    for batch, first, second in zip(together, *ranks, strict=True):
        assert batch.indices.tolist()[0::2] == first.indices.tolist()  # type: ignore[attr-defined]
        assert batch.indices.tolist()[1::2] == second.indices.tolist()  # type: ignore[attr-defined]
        assert torch.equal(batch.inputs.values[1::2], second.inputs.values)  # type: ignore[attr-defined]


def index_of(shards: Path) -> list[dict[str, Any]]:
    paths = sorted(shards.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def test_any_tool_opens_a_shard_and_the_index_leads_to_every_member(shards: Path, source: Path) -> None:
    rows = index_of(shards)
    members: dict[str, bytes] = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
                members[member.name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    present = [row for row in rows if row["kind"] != "skipped"]
    assert [row["path"] for row in rows if row["kind"] == "skipped"] == ["class6/020.jpg"]
    assert len(members) == 2 * len(present)
    for number, row in enumerate(rows):
        assert row["key"] == f"{number:08}"
    for row in present:
        ending = "ppx" if row["kind"] == "packed" else "png"
        image = members[f"{row['key']}.{ending}"]
        with (shards / f"shard-{int(row['key']) // 11:06}.tar").open("rb") as file:
            file.seek(row["offset"])
            assert file.read(row["size"]) == image
        assert zlib.crc32(image) == int(row["crc32"], 16)
        told = json.loads(members[f"{row['key']}.json"])
        original = (source / row["path"]).read_bytes()
        assert (told["label"], told["path"], told["bytes"]) == (row["label"], row["path"], len(original))
        assert told["class"] == row["path"].split("/")[0]
        if row["kind"] == "packed":
            assert image == pack_jpeg(original, S24)
        else:
            assert image == original


def test_nothing_stays_open_and_it_can_be_sent(shards: Path) -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    packed = pickle.loads(pickle.dumps(PackedDataset(shards)))
    for _ in range(3):
        sources = packed.sources([20, 0, 13, 0])
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
    assert sources[1] == sources[3] != sources[0]
    assert all(read_pack_header(contents).kept[0] == set(S24[0]) for contents in sources)


def test_pixels_of_a_whole_pack_are_those_of_the_jpeg(whole: Path, shards: Path, source: Path) -> None:
    crop = CenterCrop(1.0)
    files, packed = FolderDataset(source), PackedDataset(whole)
    names = [row["path"] for row in index_of(whole) if row["kind"] != "skipped"]
    index = names.index("class1/001.jpg")
    (place,) = [i for i, sample in enumerate(files.samples) if sample.path.endswith("class1/001.jpg")]
    reader = PixelReader((17, 19))
    a = CropDataset(files, reader, crop, 0, 1)[0, place].batch.inputs
    b = CropDataset(packed, reader, crop, 0, 1)[0, index].batch.inputs
    assert isinstance(a, torch.Tensor)
    assert isinstance(b, torch.Tensor)
    assert torch.equal(a, b)
    failures = CropDataset(PackedDataset(shards), reader, crop, 0, 1)[0, 0].failures
    assert isinstance(failures[0].error, UnreadableImage)
    assert "a packed image that lacks frequencies, of which pixels would be wrong" in str(failures[0].error)


def test_labels_follow_given_class_names(shards: Path) -> None:
    names = ("class9", *reversed(PackedDataset(shards).classes))
    packed, plain = PackedDataset(shards, class_names=names), PackedDataset(shards)
    assert packed.classes == names
    assert [names[sample.label] for sample in packed.samples] == [plain.classes[s.label] for s in plain.samples]
    with pytest.raises(DatasetError, match=r"'class0' is none of the 1 classes named"):
        PackedDataset(shards, class_names=("other",))


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


def test_tar_files_of_jpegs_are_a_source(source: Path, tmp_path: Path) -> None:
    chosen = sorted(source.rglob("*.jpg"))[:5]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, path in enumerate(chosen):
            for name, contents in ((f"{number}.jpg", path.read_bytes()), (f"{number}.cls", f"{number % 3}\n".encode())):
                member = tarfile.TarInfo(name)
                member.size = len(contents)
                archive.addfile(member, io.BytesIO(contents))
    listed = open_source(tmp_path / "a.tar", class_names=["zero", "one", "two"])
    assert listed.classes == ("zero", "one", "two")
    assert [(entry.name, entry.label) for entry in listed.entries] == [(f"a.tar/{i}.jpg", i % 3) for i in range(5)]
    assert [entry.read() for entry in listed.entries] == [path.read_bytes() for path in chosen]
    assert open_source(tmp_path).classes == ("0", "1", "2")
    pack_source(open_source(tmp_path), tmp_path / "packed", PackOptions(BANDS))
    packed = PackedDataset(tmp_path / "packed")
    assert np.array_equal([sample.label for sample in packed.samples], [0, 1, 2, 0, 1])
    with pytest.raises(DatasetError, match="class number 2, and there are 2 names, counted from 0"):
        open_source(tmp_path / "a.tar", class_names=["zero", "one"])
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(chosen[0], "7.jpg")
    with pytest.raises(DatasetError, match=r"b\.tar/7\.jpg: has no class; add KEY\.cls"):
        open_source(tmp_path / "b.tar")
    (tmp_path / "c.tar").write_bytes(b"x" * 1000)
    with pytest.raises(DatasetError, match=r"c\.tar: cannot be read as a tar file"):
        open_source(tmp_path / "c.tar")
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(chosen[0], "cat/7.jpg")
        archive.add(chosen[1], "ant/7.jpg")
    by_folder = open_source(tmp_path / "d.tar")
    assert by_folder.classes == ("ant", "cat")
    assert [entry.label for entry in by_folder.entries] == [1, 0]


# -- indices that are not what was written -----------------------------------------------------------------------------


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
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:5]))
    with pytest.raises(DatasetError, match=r"shard-000001\.jsonl: has 5 whole lines, and its shard has 11"):
        PackedDataset(folder)


def test_any_names_of_files_and_classes_come_back(tmp_path: Path) -> None:
    names = ["cats\u0085dogs", "line\u2028sep", "new\nline", " edge ", "caf\udce9", '"q"', "plain é"]
    for name in names:
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / f"{name}.jpg").write_bytes(by_pillow())
    for _ in range(2):
        report = pack_source(open_source(tmp_path / "source"), tmp_path / "shards", PackOptions(BANDS, shard_size=3))
    assert report.num_earlier == len(names)
    packed = PackedDataset(tmp_path / "shards")
    assert packed.classes == tuple(sorted(names))
    assert packed.names() == [f"{name}/{name}.jpg" for name in sorted(names)]
    assert PackedDataset(tmp_path / "shards", class_names=tmp_path / "shards" / "classes.txt").classes == packed.classes
    packed.verify()
