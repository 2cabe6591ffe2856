"""Other layouts become COCO's, and are read back as what they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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


def changed(old: str, new: str) -> str:
    assert old in XML
    return XML.replace(old, new)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (changed("<name>dog</name>", ""), "a.xml: object 1 has no name; name its class"),
        (changed("<name>dog</name>", "<name> </name>"), "object 1 has no name"),
        (changed("<name>dog</name>", "<name>dog</name><name>cat</name>"), "object 1 has 2 fields name; leave one"),
        (changed("<xmin>11</xmin>", "<xmin>11</xmin><xmin>12</xmin>"), "object 1 has 2 fields bndbox/xmin; leave one"),
        (changed("</filename>", "</filename><filename>b.jpg</filename>"), "a.xml has 2 fields filename"),
        (changed(">a.jpg<", ">../a.jpg<"), "its filename '../a.jpg' lies outside JPEGImages"),
        (changed(">a.jpg<", ">/etc/hostname<"), "its filename '/etc/hostname' lies outside JPEGImages"),
        (
            changed("<xmax>40<", "<xmax>10<"),
            "object 1 has a bndbox of ['11', '6', '10', '25']: as COCO's, its bbox is ",
        ),
        (changed("<xmax>40<", "<xmax>99<"), "sticks out of 53 x 37 pixels"),
        (changed("<xmax>40<", "<xmax>-1<"), "has a bndbox of ['11', '6', '-1', '25']; give xmin, ymin"),
        (changed("<xmax>40<", f"<xmax>{'9' * 400}<"), "give xmin, ymin, xmax and ymax as numbers from 1"),
        (changed("<difficult>1<", "<difficult>true<"), "object 2 is difficult 'true', not 0 or 1"),
        (
            changed("</filename>", "</filename><size><width>106</width><height>74</height></size>"),
            "its boxes are for 74 x 106 pixels (height x width), and the photo has 37 x 53",
        ),
        (
            changed("</filename>", "</filename><size><width>37</width><height>53</height></size>"),
            "upright (the photo is turned by its Exif orientation); annotate the photo as it is",
        ),
        (changed("</filename>", "</filename><size><width>x</width><height>5</height></size>"), "not whole numbers"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]>' + XML,
            "a.xml: the annotation cannot be read (it declares a document type, a",
        ),
        (changed("</annotation>", ""), "a.xml: the annotation cannot be read"),
        ("<?xml version='1.0' encoding='klingon'?>" + XML, "a.xml: the annotation cannot be read"),
    ],
)
def test_what_voc_leaves_unclear_is_refused(voc: Path, tmp_path: Path, xml: str, message: str) -> None:
    (voc / "Annotations" / "a.xml").write_text(xml)
    with pytest.raises(DatasetError) as raised:
        coco_from_voc(voc, tmp_path / "out.json")
    assert message in str(raised.value)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_what_voc_says_twice_is_refused(voc: Path, tmp_path: Path) -> None:
    output, lists = tmp_path / "out.json", voc / "ImageSets" / "Main"
    (lists / "twice.txt").write_text("a\nb\na\n")
    with pytest.raises(DatasetError, match=r"twice\.txt: lists 'a' twice; list each photo once"):
        coco_from_voc(voc, output, names="Main/twice")
    (lists / "out.txt").write_text("../a\n")
    with pytest.raises(DatasetError, match=r"'\.\./a' lies outside Annotations"):
        coco_from_voc(voc, output, names="Main/out")
    (lists / "empty.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"empty\.txt: the list is empty"):
        coco_from_voc(voc, output, names="Main/empty")
    (voc / "Annotations" / "b.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    with pytest.raises(DatasetError, match=r"a\.xml and b\.xml both annotate a\.jpg; keep one"):
        coco_from_voc(voc, output)
    for path in (voc / "Annotations").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"Annotations: holds no \.xml file"):
        coco_from_voc(voc, output)
    os.mkfifo(voc / "Annotations" / "a.xml")
    with pytest.raises(DatasetError, match=r"a\.xml: the annotation cannot be read .*is no regular file"):
        coco_from_voc(voc, output)
    assert not output.exists()


def test_a_mask_without_its_object_is_refused(voc: Path, tmp_path: Path) -> None:
    Image.fromarray(np.where(masks() == 2, 3, masks())).save(voc / "SegmentationObject" / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png: has an object 3, and a\.xml lists 2"):
        coco_from_voc(voc, tmp_path / "out.json")


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_sizes_of_zero_say_nothing_and_turned_photos_count_as_seen(voc: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (37, 53)).save(voc / "JPEGImages" / "a.jpg", exif=exif)
    (voc / "Annotations" / "a.xml").write_text(
        changed("</filename>", "</filename><size><width>0</width><height>0</height></size>")
    )
    written = coco_from_voc(voc, tmp_path / "out.json")
    assert (written["images"][0]["height"], written["images"][0]["width"]) == (37, 53)
    (voc / "Annotations" / "a.xml").write_text(
        changed("</filename>", "</filename><size><width>37</width><height>53</height></size>")
    )
    with pytest.raises(DatasetError, match="turned by its Exif orientation"):
        coco_from_voc(voc, tmp_path / "out.json")
    assert len(CocoDataset(tmp_path / "out.json", voc / "JPEGImages")) == 2


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    ("twice", "message"),
    [
        ('"categories": [{"id": 1, "name": "a", "name": "b"}]', "the key 'name' stands twice in one object of id 1"),
        ('"categories": [{"id": 1, "id": 2, "name": "a"}]', "the key 'id' stands twice in one object"),
        ('"categories": [{"id": 1, "name": "a"}], "images": []', "the key 'images' stands twice in one object"),
    ],
)
def test_keys_that_stand_twice_are_refused(tmp_path: Path, twice: str, message: str, on_error: Any) -> None:
    """JSON's readers take the last, others the first: nobody knows which was meant."""
    path = tmp_path / "a.json"
    path.write_text(
        '{"images": [{"id": 5, "file_name": "a.jpg", "height": 3, "width": 3}], "annotations": [], ' + twice + "}"
    )
    with pytest.raises(DatasetError, match=rf"a\.json: {message}; keep one of them"):
        CocoDataset(path, tmp_path, on_error=on_error)
