"""Shards read: the same views as of the JPEGs, by any tool, from any place, and nothing stays open."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.datasets.packed_source import BANDS, make_shards, make_source
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
from prepixel.errors import UnreadableImage
from prepixel.jpeg import bandlimit_jpeg, pack_jpeg, read_pack_header
from prepixel.spectrum import Spectrum


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def shards(source: Path) -> Path:
    return make_shards(source)


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
