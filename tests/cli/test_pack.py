"""The command pack: its estimate, its report, what it refuses; and training on what it wrote."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.small_photos import Captured, facts, jpeg, write_folder

from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.jpeg import pack_jpeg, read_header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {"dog/d.png": jpeg(format="PNG")})


def test_pack_estimates_then_reports(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["pack", str(folder), str(out), "--shard-size", "3"]
    assert main([*words, "--dry-run"]) == 0
    estimated = facts(capsys.readouterr().out)
    assert not out.exists()
    assert main(words) == 0
    told = capsys.readouterr().out.split("\n\n")
    files = [folder / name for name in ("cat/a.jpg", "cat/b.jpg", "dog/c.JPG")]
    before, after = sum(path.stat().st_size for path in files), sum(len(pack_jpeg(path)) for path in files)
    assert estimated["duration"].endswith(" s (from 3 files, writing not counted)")
    assert estimated["files"].startswith("4 (")
    report = facts(told[1])
    disk = sum(path.stat().st_size for path in out.glob("*.tar"))
    assert report["packed"] == "3 of 4 images, each read back"
    assert report["sizes"] == f"{before:,} bytes became {after:,} bytes ({100 * after / before:.1f} %)"
    assert report["shards"] == f"2, {disk:,} bytes with labels and metadata"
    assert report["stored"] == "1 without YCbCr coefficients, unchanged"
    assert report["left out"] == "none"
    assert main([*words, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["estimate"]["num_finished"] == again["report"]["num_earlier"] == 4
    assert again["report"]["ratio"] == after / before


def test_pack_lists_what_it_leaves_out(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "cut.jpg").write_bytes((folder / "cat" / "a.jpg").read_bytes()[:700])
    words = ["--bands", "S-24", "--compression", "none", "--on-error", "skip"]
    assert main(["pack", str(folder), str(tmp_path / "out"), *words]) == 1
    told = capsys.readouterr().out.split("\n\n")
    assert facts(told[1])["left out"] == "2, listed below"
    assert told[2].startswith("TruncatedJpeg: cat/cut.jpg, byte 700: ")
    assert "UnreadableImage: dog/d.png: has no YCbCr coefficients to pack" in told[2]


def test_pack_accounts_for_every_member_of_tar_files(capsys: Captured, tmp_path: Path) -> None:
    members = {"x/a.jpg": jpeg(), "x/a.json": b"{}", "x/b.jpg": jpeg(), "x/b.json": b"{}", "README": b"text"}
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as archive:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    words = ["pack", str(tmp_path / "tars"), str(tmp_path / "out")]
    assert main(words) == 0
    report = facts(capsys.readouterr().out.split("\n\n")[1])
    assert report["other members"] == "3 of the tar files are not packed (2 .json, 1 without an ending)"
    assert main([*words, "--json"]) == 0
    others = json.loads(capsys.readouterr().out)["report"]["other_members"]
    assert others == {".json": 2, "without an ending": 1}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--level", "20"], "'20' is out of range; give an integer from 1 to 19"),
        (["--shard-size", "0"], "'0' is out of range; give an integer from 1 to 1,000,000"),
        (["--threads", "-1"], "'-1' is out of range; give an integer from 0 to 1,024"),
    ],
)
def test_pack_refuses_numbers_out_of_range(words: list[str], text: str, capsys: Captured, tmp_path: Path) -> None:
    assert main(["pack", "photos", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err == f"prepixel: argument {words[0]}: {text}; see: prepixel pack --help\n"


def test_training_on_shards_is_training_on_the_jpegs(capsys: Captured, tmp_path: Path) -> None:
    train, val = write_synthetic(tmp_path / "data", num_train_per_class=2, num_val_per_class=1)
    for name, path in (("train", train), ("val", val)):
        assert main(["pack", str(path), str(tmp_path / "shards" / name), "--shard-size", "7"]) == 0
    scores = []
    for root in ("data", "shards"):
        words = ["--data.train", str(tmp_path / root / "train"), "--data.val", str(tmp_path / root / "val")]
        words += ["--data.batch_size", "10", "--training.epochs", "1", "--output", str(tmp_path / f"run_{root}")]
        assert main(["train", "recipes/demo_dct24.yaml", *words]) == 0
        rows = [
            json.loads(line) for line in (tmp_path / f"run_{root}" / "records.jsonl").read_text("utf-8").splitlines()
        ]
        metrics = [row for row in rows if row["kind"] == "metric" and "loss" in row["name"]]
        scores.append([(row["name"], row["value"]) for row in metrics])
    capsys.readouterr()
    assert scores[0] == scores[1]
    assert scores[0]


def test_statistics_of_shards_are_those_of_the_jpegs(capsys: Captured, folder: Path, tmp_path: Path) -> None:
    assert main(["pack", str(folder), str(tmp_path / "shards" / "photos")]) == 0
    for root in (folder, tmp_path / "shards" / "photos"):
        out = tmp_path / f"{root.parent.name}.json"
        assert main(["stats", str(root), "--grid", "3", "5", "--bands", "S-24", "--output", str(out)]) == 0
    capsys.readouterr()
    assert (tmp_path / "shards.json").read_bytes() == (tmp_path / f"{tmp_path.name}.json").read_bytes()


def test_photos_with_objects_are_packed_and_a_detector_trains_on_the_shards(
    capsys: Captured, folder: Path, tmp_path: Path
) -> None:
    one = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [2, 3, 20, 17], "iscrowd": 0}
    image = read_header((folder / "cat" / "a.jpg").read_bytes())
    images = [{"id": 7, "file_name": "cat/a.jpg", "height": image.height, "width": image.width}]
    document = {"images": images, "annotations": [one], "categories": [{"id": 3, "name": "lamp"}]}
    told = tmp_path / "instances.json"
    told.write_text(json.dumps(document))
    words = ["pack", str(folder), str(tmp_path / "out"), "--annotations", str(told)]
    assert main(words) == 0
    assert "1 of 1 images, each read back" in capsys.readouterr().out
    assert main([*words, "--classes", str(told)]) == 2
    assert "--annotations and --classes: images with objects have no class" in capsys.readouterr().err
    recipe = tmp_path / "detector.yaml"
    recipe.write_text(
        f"data: {{train: {tmp_path / 'out'}, train_annotations: {told}, batch_size: 1}}\n"
        "input: {kind: spectrum, bands: S-6, min_sizes: [64], max_size: 96}\n"
        "network: {kind: faster_rcnn, name: resnet18, channels: 8, heads: small}\n"
        "task: {kind: detection}\ntraining: {epochs: 1, device: cpu, tensorboard: false}\n"
    )
    assert main(["train", str(recipe), "-o", str(tmp_path / "run")]) == 0
    assert "1 steps" in capsys.readouterr().out
    one["bbox"] = [2, 3, 19, 17]  # other annotations are another source
    told.write_text(json.dumps(document))
    assert main(words) == 2
    assert "has changed; to add its images behind those that are there, use --append" in capsys.readouterr().err
