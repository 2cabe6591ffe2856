"""Data sets on disk: three layouts, sorted, and every mistake told with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from prepixel.data.datasets.folder import FolderDataset
from prepixel.errors import DatasetError
from prepixel.files import image_files


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def tree(data: FolderDataset) -> list[tuple[str, int]]:
    return [(str(Path(sample.path).relative_to(data.root)), sample.label) for sample in data.samples]


@pytest.fixture
def moths(tmp_path: Path) -> Path:
    files = ("wasp/b.jpg", "wasp/a.JPEG", "moth/old/z.png", "moth/c.jpg", "moth/.hidden.jpg", "moth/notes.txt")
    return touch(tmp_path / "moths", *files, ".cache/x.jpg", "loose.jpg")


def test_class_folders_are_numbered_in_sorted_order(moths: Path) -> None:
    data = FolderDataset(moths)
    assert data.classes == ("moth", "wasp")
    assert tree(data) == [("moth/c.jpg", 0), ("moth/old/z.png", 0), ("wasp/a.JPEG", 1), ("wasp/b.jpg", 1)]
    assert len(data) == 4
    assert data.num_per_class() == (2, 2)


def test_extensions_are_the_caller_s(moths: Path) -> None:
    touch(moths, "moth/d.raw", "wasp/e.RAW")
    assert tree(FolderDataset(moths, extensions=[".raw"])) == [("moth/d.raw", 0), ("wasp/e.RAW", 1)]


@pytest.mark.parametrize("named", [("wasp", "bee", "moth"), ("wasp, yellow", "bee", "moth"), ("wasp x", "b", "moth y")])
def test_class_names_number_the_folders(moths: Path, named: tuple[str, ...]) -> None:
    if named[0] == "wasp, yellow":  # the whole line names a class too
        (moths / "wasp").rename(moths / "wasp, yellow")
    data = FolderDataset(moths, class_names=named)
    assert data.classes == named
    assert data.num_per_class() == (2, 0, 2)


def test_class_names_are_read_from_a_file(moths: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("bee\n\nwasp, the yellow one\nmoth, the brown one\n")
    for given in (tmp_path / "names.txt", str(tmp_path / "names.txt")):
        data = FolderDataset(moths, class_names=given)
        assert data.classes == ("bee", "wasp, the yellow one", "moth, the brown one")
        assert data.num_per_class() == (0, 2, 2)


def test_a_listing_names_files_and_classes(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a photo.jpg", "c.jpg", "unlisted.jpg")
    (tmp_path / "labels.txt").write_text("# file, class\nb.jpg 2\n\na photo.jpg 0\nc.jpg,1\n")
    data = FolderDataset(tmp_path)
    assert tree(data) == [("b.jpg", 2), ("a photo.jpg", 0), ("c.jpg", 1)]
    assert data.classes == ("0", "1", "2")
    assert FolderDataset(tmp_path, class_names=["x", "y", "z", "w"]).classes == ("x", "y", "z", "w")
    (tmp_path / "part.lst").write_text("c.jpg\t1\n")
    assert tree(FolderDataset(tmp_path, listing=tmp_path / "part.lst")) == [("c.jpg", 1)]


def test_names_begin_with_their_class(tmp_path: Path) -> None:
    touch(tmp_path, "n07_moth_1.jpg", "n07_wing_2.jpg", "n12_a.jpg")
    data = FolderDataset(tmp_path, class_names=["n12 wasp", "n07 moth", "n07_wing moth's wing"])
    assert tree(data) == [("n07_moth_1.jpg", 1), ("n07_wing_2.jpg", 2), ("n12_a.jpg", 0)]


def test_links_to_a_parent_end(tmp_path: Path) -> None:
    touch(tmp_path, "moth/a.jpg", "moth/deep/b.jpg")
    (tmp_path / "moth" / "deep" / "back").symlink_to(tmp_path / "moth")
    assert [Path(path).name for path in image_files(tmp_path)] == ["a.jpg", "b.jpg"]


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_a_missing_folder_names_its_neighbors(moths: Path) -> None:
    with pytest.raises(DatasetError, match=r"moth: no such folder; .* holds moths; check the path"):
        FolderDataset(moths.parent / "moth")
    with pytest.raises(DatasetError, match=r"loose\.jpg: is a file, not a folder"):
        FolderDataset(moths / "loose.jpg")


def test_an_empty_class_is_refused(moths: Path) -> None:
    touch(moths, "bee/readme.md")
    with pytest.raises(
        DatasetError, match=r"class 'bee' has no image \(it holds files with \.md\).*add one, or remove"
    ):
        FolderDataset(moths)
    (moths / "bee" / "readme.md").unlink()
    with pytest.raises(DatasetError, match=r"class 'bee' has no image \(it is empty\)"):
        FolderDataset(moths)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no image and no folder"):
        FolderDataset(tmp_path)
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(DatasetError, match="holds 2 images but no class folder; put them in one folder for each class"):
        FolderDataset(tmp_path)


def test_an_unknown_class_names_the_nearest(moths: Path) -> None:
    with pytest.raises(DatasetError, match="'wasp' is none of the 2 classes named; nearest: wasps"):
        FolderDataset(moths, class_names=["moth", "wasps"])


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a.jpg", r"line 2: 'a\.jpg' is not 'file class-number'"),
        ("a.jpg moth", r"line 2: 'a\.jpg moth' is not"),
        ("a.jpg -1", "line 2: class number -1 is not from 0 to"),
        ("c.jpg 0", r"line 2: no file .*c\.jpg"),
        ("b.jpg 7", "class number 7, but only 2 classes are named"),
    ],
)
def test_bad_listings_are_refused(tmp_path: Path, line: str, text: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "labels.txt").write_text(f"a.jpg 1\n{line}\n")
    with pytest.raises(DatasetError, match=text):
        FolderDataset(tmp_path, class_names=["x", "y"])


def test_listings_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="listing cannot be read"):
        FolderDataset(tmp_path, listing=tmp_path / "nowhere.txt")
    (tmp_path / "labels.txt").write_text("\n")
    with pytest.raises(DatasetError, match="lists no image"):
        FolderDataset(tmp_path)


def test_names_without_a_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="need class_names"):
        FolderDataset(tmp_path, layout="prefix")
    with pytest.raises(DatasetError, match="has no image"):
        FolderDataset(tmp_path, layout="prefix", class_names=["moth"])
    touch(tmp_path, "bee_1.jpg")
    with pytest.raises(DatasetError, match=r"bee_1\.jpg: 'bee' is none of the 1 classes named; the first are: moth"):
        FolderDataset(tmp_path, class_names=["moth"])


def test_class_names_that_name_nothing_are_refused(moths: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="list of class names is empty"):
        FolderDataset(moths, class_names=[])
    with pytest.raises(DatasetError, match="class name 1 is blank"):
        FolderDataset(moths, class_names=["moth", " "])
    with pytest.raises(DatasetError, match="list of class names cannot be read"):
        FolderDataset(moths, class_names=tmp_path / "nowhere.txt")
    for names in (["moth", "moth", "wasp"], ["moth brown", "moth gray", "wasp"]):
        with pytest.raises(DatasetError, match=r"'moth' may be any of the classes \[0, 1\]; give these"):
            FolderDataset(moths, class_names=names)
    assert FolderDataset(moths, class_names=["moth gray", "moth", "wasp"]).num_per_class() == (0, 2, 2)


# -- real data sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flowers20/train", "imagenette10/val"])
def test_real_class_folders_are_read_as_torchvision_does(photos: Path, name: str) -> None:
    ours, theirs = FolderDataset(photos / name), ImageFolder(str(photos / name))
    assert list(ours.classes) == theirs.classes
    assert [(s.path, s.label) for s in ours.samples] == theirs.samples


def test_real_listing(photos: Path) -> None:
    data = FolderDataset(photos / "imagenet_val227", class_names=photos / "imagenet_classes.txt")
    assert (len(data), len(data.classes)) == (200, 1000)
    rows = [line.split() for line in (photos / "imagenet_val227" / "labels.txt").read_text().splitlines()]
    assert [(Path(s.path).name, s.label) for s in data.samples] == [(file, int(label)) for file, label in rows]


def test_real_names_that_begin_with_their_class(photos: Path) -> None:
    data = FolderDataset(photos / "imagenet_samples", class_names=photos / "imagenet_classes.txt")
    assert len(data) == 160
    assert all(Path(s.path).name.startswith(data.classes[s.label].split()[0] + "_") for s in data.samples)
