"""Other layouts become COCO's, and are read back as what they were."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prepixel.data.datasets.coco import CocoDataset
from prepixel.data.datasets.coco_convert import coco_from_penn_fudan, coco_from_voc
from prepixel.data.datasets.coco_masks import run_lengths
from prepixel.errors import DatasetError

XML = """<annotation><filename>a.jpg</filename>
<object><name>dog</name><difficult>0</difficult>
  <bndbox><xmin>11</xmin><ymin>6</ymin><xmax>40</xmax><ymax>25</ymax></bndbox></object>
<object><name>cat</name><difficult>1</difficult>
  <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>7</ymax></bndbox></object>
</annotation>"""


def masks() -> np.ndarray:
    """Give two objects, and VOC's border between them."""
    values = np.zeros((37, 53), dtype=np.uint8)
    values[5:25, 10:40] = 1
    values[5, 10:40] = 255
    values[0:7, 0:5] = 2
    return values


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for part in ("JPEGImages", "Annotations", "SegmentationObject", "ImageSets/Main"):
        (tmp_path / part).mkdir(parents=True)
    Image.new("RGB", (53, 37)).save(tmp_path / "JPEGImages" / "a.jpg")
    Image.new("RGB", (17, 19)).save(tmp_path / "JPEGImages" / "b.jpg")
    (tmp_path / "Annotations" / "a.xml").write_text(XML)
    (tmp_path / "Annotations" / "b.xml").write_text("<annotation></annotation>")
    picture = Image.fromarray(masks(), "P")
    picture.putpalette([value for gray in range(256) for value in (gray, gray, gray)])
    picture.save(tmp_path / "SegmentationObject" / "a.png")
    (tmp_path / "ImageSets" / "Main" / "some.txt").write_text("b 1\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_voc_becomes_coco(voc: Path, tmp_path: Path) -> None:
    written = coco_from_voc(voc, tmp_path / "voc.json")
    read = CocoDataset(tmp_path / "voc.json", voc / "JPEGImages")
    assert read.classes == ("cat", "dog")
    assert [(s.height, s.width, len(s.objects)) for s in read.samples] == [(37, 53, 2), (19, 17, 0)]
    dog, cat = read.samples[0].objects
    assert (dog.label, dog.box, dog.crowd) == (2, (10.0, 5.0, 30.0, 20.0), False)
    assert (cat.label, cat.box, cat.crowd) == (1, (0.0, 0.0, 5.0, 7.0), True)
    assert np.array_equal(run_lengths(dog.segmentation, 37, 53).decode(), masks() == 1)
    assert [one["area"] for one in written["annotations"]] == [19 * 30, 5 * 7]
    listed = coco_from_voc(voc, tmp_path / "some.json", names="Main/some")
    assert [image["file_name"] for image in listed["images"]] == ["b.jpg"]


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_voc_lists_hold_any_name(voc: Path, tmp_path: Path) -> None:
    names = ["a\u2028b", "a\x85b", "a\xa0b", os.fsdecode(b"caf\xe9")]
    for name in names:
        (voc / "JPEGImages" / f"{name}.jpg").write_bytes((voc / "JPEGImages" / "b.jpg").read_bytes())
        (voc / "Annotations" / f"{name}.xml").write_text("<annotation></annotation>")
    lines = "".join(f"{name}  1\r\n" for name in names)
    (voc / "ImageSets" / "Main" / "odd.txt").write_bytes(os.fsencode("\ufeff") + os.fsencode(lines))
    written = coco_from_voc(voc, tmp_path / "odd.json", names="Main/odd")
    assert [image["file_name"] for image in written["images"]] == [f"{name}.jpg" for name in names]
    (voc / "ImageSets" / "Main" / "wide.txt").write_bytes("b\n".encode("utf-16"))
    with pytest.raises(DatasetError, match=r"wide\.txt: the list is in UTF-16; save it as UTF-8"):
        coco_from_voc(voc, tmp_path / "odd.json", names="Main/wide")


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_what_voc_lacks_is_named(voc: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    with pytest.raises(DatasetError, match=r"no such list; name one below ImageSets, such as Main/train"):
        coco_from_voc(voc, output, names="Main/x")
    (voc / "Annotations" / "b.xml").write_text("<annotation>")
    with pytest.raises(DatasetError, match=r"b\.xml: the annotation cannot be read"):
        coco_from_voc(voc, output)
    (voc / "Annotations" / "b.xml").write_text(XML.replace("a.jpg", "b.jpg").replace("<xmin>11<", "<xmin>x<"))
    with pytest.raises(DatasetError, match=r"b\.xml: object 1 has a bndbox of \['x', '6', '40', '25'\]"):
        coco_from_voc(voc, output)
    (voc / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DatasetError, match=r"b\.jpg: the photo of b\.xml cannot be opened"):
        coco_from_voc(voc, output)
    Image.new("L", (5, 5)).save(voc / "SegmentationObject" / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png: is 5 x 5 pixels, and its photo 53 x 37"):
        coco_from_voc(voc, output)
    with pytest.raises(DatasetError, match="has no folder JPEGImages; give one in Pascal VOC's layout"):
        coco_from_voc(tmp_path / "ImageSets", output)
    assert not output.exists()


def test_penn_fudan_becomes_coco(tmp_path: Path) -> None:
    for part in ("PNGImages", "PedMasks"):
        (tmp_path / part).mkdir()
    Image.new("RGB", (53, 37)).save(tmp_path / "PNGImages" / "Fudan1.png")
    values = masks()
    values[values == 255] = 0
    Image.fromarray(values).save(tmp_path / "PedMasks" / "Fudan1_mask.png")
    coco_from_penn_fudan(tmp_path, tmp_path / "people.json")
    read = CocoDataset(tmp_path / "people.json", tmp_path / "PNGImages")
    assert read.classes == ("person",)
    assert [one.box for one in read.samples[0].objects] == [(10.0, 6.0, 30.0, 19.0), (0.0, 0.0, 5.0, 7.0)]
    (tmp_path / "PedMasks" / "Fudan1_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"Fudan1_mask\.png: the mask cannot be read"):
        coco_from_penn_fudan(tmp_path, tmp_path / "people.json")
    with pytest.raises(DatasetError, match="has no folder PNGImages; give the folder PennFudanPed"):
        coco_from_penn_fudan(tmp_path / "PNGImages", tmp_path / "people.json")
    Image.new("RGB", (53, 37)).save(tmp_path / "PedMasks" / "Fudan1_mask.png")
    with pytest.raises(DatasetError, match=r"Fudan1_mask\.png: is a picture in colors"):
        coco_from_penn_fudan(tmp_path, tmp_path / "people.json")
