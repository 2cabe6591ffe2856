"""Pixels: how images are read that have no YCbCr coefficients."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from tests.jpeg.small_files import HEIGHT, WIDTH, pixels

from prepixel.errors import JpegLimitExceeded, MalformedJpeg, UnreadableImage, UnsupportedJpeg
from prepixel.jpeg import JpegImage, Limits, read_header, read_image, read_jpeg, read_pixels, read_size

Array = np.ndarray


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def picture() -> Image.Image:
    return Image.fromarray(pixels())


def by_definition(samples: Array) -> Array:
    """Give unrounded coefficients of level-shifted samples, by the definition's double sum, block by block."""
    height, width = samples.shape
    rows = np.minimum(np.arange(-(-height // 8) * 8), height - 1)
    columns = np.minimum(np.arange(-(-width // 8) * 8), width - 1)
    padded = samples[rows][:, columns]
    blocks = np.empty((len(rows) // 8, len(columns) // 8, 8, 8))
    k = np.arange(8)
    for v in range(8):
        for u in range(8):
            wave = np.outer(np.cos((2 * k + 1) * v * np.pi / 16), np.cos((2 * k + 1) * u * np.pi / 16))
            scale = 0.25 * (0.5**0.5 if v == 0 else 1) * (0.5**0.5 if u == 0 else 1)
            tiles = padded.reshape(len(rows) // 8, 8, len(columns) // 8, 8)
            blocks[:, :, v, u] = scale * np.einsum("aybx,yx->ab", tiles, wave)
    return blocks


def expect_planes(image: JpegImage, planes: list[Array]) -> None:
    assert image.origin == "pixels"
    assert len(image.components) == len(planes)
    assert image.color == ("ycbcr" if len(planes) == 3 else "gray")
    for component, plane in zip(image.components, planes, strict=True):
        assert (component.height, component.width) == plane.shape
        assert component.sampling == (1, 1)
        assert (component.quantization == 1).all()
        exact = by_definition(plane)
        assert component.quantized.shape == exact.shape
        assert component.quantized.dtype == np.int16
        assert np.abs(component.quantized - exact).max() <= 0.5 + 1e-9


def ycbcr(rgb: Array) -> list[Array]:
    """Apply JFIF's published decimals."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    return [
        0.299 * red + 0.587 * green + 0.114 * blue - 128,
        -0.299 / 1.772 * red - 0.587 / 1.772 * green + 0.5 * blue,
        0.5 * red - 0.587 / 1.402 * green - 0.114 / 1.402 * blue,
    ]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_is_transformed_by_definition(kind: str) -> None:
    image = read_image(saved(picture(), kind))
    assert (image.height, image.width) == (HEIGHT, WIDTH)
    expect_planes(image, ycbcr(pixels()))


def test_large_images_are_transformed_in_parts_of_which_nothing_shows() -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (1031, 257, 3), dtype=np.uint8)
    expect_planes(read_image(saved(Image.fromarray(rgb), "BMP")), ycbcr(rgb))


def test_gray_stays_one_component() -> None:
    gray = np.asarray(picture().convert("L"))
    expect_planes(read_image(saved(Image.fromarray(gray))), [gray - 128.0])
    with_alpha = Image.merge("LA", [Image.fromarray(gray), Image.fromarray(gray[::-1].copy())])
    expect_planes(read_image(saved(with_alpha)), [gray - 128.0])
    bits = Image.fromarray(gray).point(lambda value: 255 * (value > 120)).convert("1")
    expect_planes(read_image(saved(bits)), [np.asarray(bits) * 255.0 - 128])


def test_transparency_is_dropped_and_palettes_are_looked_up() -> None:
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.fromarray(pixels()[:, :, 0]))
    expect_planes(read_image(saved(rgba)), ycbcr(pixels()))
    palette = picture().quantize(7)
    colors = np.asarray(palette.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expect_planes(read_image(saved(palette, "GIF")), ycbcr(colors))
        expect_planes(read_image(saved(palette, transparency=bytes([0, 9, 40, 255]))), ycbcr(colors))


def test_of_an_animation_the_first_picture_is_taken() -> None:
    frames = [picture().convert("P"), picture().transpose(Image.Transpose.ROTATE_180).convert("P")]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = Image.open(io.BytesIO(file)).convert("RGB")
    expect_planes(read_image(file), ycbcr(np.asarray(first)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_inks_become_rgb_as_pillow_makes_them(options: dict[str, bool]) -> None:
    file = saved(picture().convert("CMYK"), "JPEG", quality=90, **options)
    image = read_image(file)
    decoded = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    expect_planes(image, ycbcr(decoded))
    assert read_jpeg(file).color == "cmyk"


def test_ycbcr_jpegs_keep_their_own_coefficients(files: dict[str, bytes]) -> None:
    for name, file in files.items():
        image, own = read_image(file), read_jpeg(file)
        assert image.origin == ("pixels" if name == "cmyk" else "jpeg")
        if name != "cmyk":
            for one, other in zip(image.components, own.components, strict=True):
                np.testing.assert_array_equal(one.quantized, other.quantized)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "CMYK"])
def test_orientation_is_told_and_applied_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "CMYK":
        file = saved(picture().convert("CMYK"), "JPEG", exif=exif)
    else:
        file = saved(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    image = read_image(file)
    upright = (WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH)
    assert image.upright_size == upright == read_size(file)
    assert image.orientation == orientation
    if kind != "CMYK":
        turned = {
            1: pixels(),
            2: pixels()[:, ::-1],
            3: pixels()[::-1, ::-1],
            4: pixels()[::-1],
            5: pixels().transpose(1, 0, 2),
            6: pixels()[::-1].transpose(1, 0, 2),
            7: pixels()[::-1, ::-1].transpose(1, 0, 2),
            8: pixels()[:, ::-1].transpose(1, 0, 2),
        }[orientation]
        expect_planes(image, ycbcr(pixels()))
        np.testing.assert_array_equal(read_pixels(file), turned)
    else:
        upright_by_pillow = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
        np.testing.assert_array_equal(read_pixels(file), np.asarray(upright_by_pillow))


def test_a_broken_exif_does_not_spoil_the_image() -> None:
    for exif in (b"Exif\0\0MM\0*\0\0\0\x08\0\x01", b"nonsense"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert read_image(saved(picture(), exif=exif)).orientation == 1


def test_sizes_are_those_of_the_image(files: dict[str, bytes], tmp_path: Path) -> None:
    for file in [*files.values(), saved(picture()), saved(picture(), "WEBP")]:
        assert read_size(file) == (HEIGHT, WIDTH)
        path = tmp_path / "image"
        path.write_bytes(file)
        assert read_size(path) == read_size(str(path)) == (HEIGHT, WIDTH)


def test_buffers_and_paths_give_the_same(tmp_path: Path) -> None:
    file = saved(picture())
    path = tmp_path / "image.png"
    path.write_bytes(file)
    expected = read_image(file).components[0].quantized
    for source in (bytearray(file), memoryview(file), np.frombuffer(file, np.int8), path, str(path)):
        np.testing.assert_array_equal(read_image(source).components[0].quantized, expected)
    with pytest.raises(BufferError, match="must be contiguous"):
        read_image(memoryview(file)[::2])


def test_what_is_no_image_says_how_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_bytes(b"<html>")
    for read in (read_image, read_size):
        with pytest.raises(
            UnreadableImage, match=r"page\.jpg: no image of a format that is read .* bytes 3c 68 74 6d 6c 3e"
        ):
            read(path)
        with pytest.raises(UnreadableImage, match=r"buffer of 0 bytes: is empty, 0 bytes; fetch it again"):
            read(b"")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read(tmp_path / "nowhere.png")


@pytest.mark.parametrize("read", [read_image, read_pixels, read_size])
@pytest.mark.parametrize("value", [0, 200, 65535, 2**17, -1])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_samples_of_unknown_white_are_refused_whatever_their_values(kind: type, value: int, read: Any) -> None:
    file = saved(Image.fromarray(np.full((5, 7), value, kind)), "TIFF")
    with pytest.raises(
        UnreadableImage, match=r"32-bit or signed samples .* no known white; scale them to 8 or 16 bits"
    ):
        read(file)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("least", [0, 60000])
def test_both_pipelines_scale_sixteen_bit_gray_alike(kind: str, least: int) -> None:
    deep = np.random.default_rng(3).integers(least, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    if kind == "PPM":
        file = b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + deep.astype(">u2").tobytes()
    else:
        file = saved(Image.fromarray(deep), kind)
    expect_planes(read_image(file), [deep / 257 - 128])
    np.testing.assert_array_equal(read_pixels(file), np.rint(deep / 257)[:, :, None].repeat(3, axis=2))


def test_a_cut_file_is_an_error_or_what_is_left() -> None:
    cut = saved(picture())[:-2500]
    with pytest.raises(
        UnreadableImage, match=r"buffer of .* Pillow cannot decode it as PNG: .*truncated.*; fetch it again"
    ):
        read_image(cut)
    image = read_image(cut, on_truncated="keep")
    assert image.missing_blocks == 0
    assert image.warnings == ("the file is truncated or damaged; how much of the picture is missing is not known",)
    whole = read_image(saved(picture()))
    np.testing.assert_array_equal(image.components[0].quantized[0], whole.components[0].quantized[0])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(UnreadableImage):
        read_image(b"<html>", on_truncated="keep")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_a_file_cut_anywhere_raises_what_is_documented(kind: str) -> None:
    small = saved(picture().resize((11, 13)), kind)
    for length in range(len(small) // 2):
        with pytest.raises(UnreadableImage, match=f"^buffer of {length} bytes: "):
            read_image(small[:length])


def test_jpegs_that_are_damaged_or_unsupported_are_not_read_as_pixels(files: dict[str, bytes]) -> None:
    arithmetic = files["baseline-420"].replace(b"\xff\xc0", b"\xff\xc9", 1)
    with pytest.raises(UnsupportedJpeg, match=r"buffer of .*rithmetic"):
        read_image(arithmetic)
    with pytest.raises(MalformedJpeg, match="buffer of"):
        read_image(files["gray"][:100])


def test_a_picture_of_a_billion_pixels_is_refused_before_it_is_made() -> None:
    header = struct.pack(">II5B", 2**15, 2**15, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT"
    for read in (read_image, read_size):
        with pytest.raises(JpegLimitExceeded, match=r"32768 x 32768 pixels are more than the limit of 268435456\."):
            read(bomb)
    with pytest.raises(
        JpegLimitExceeded, match=r"decoding 32768 x 32768 pixels takes about 10737418240 bytes, more than the limit of"
    ):
        read_image(bomb, limits=Limits(max_pixels=2**31))


def test_threads_give_the_same() -> None:
    sources = [saved(picture()), saved(picture(), "BMP"), saved(picture(), "TIFF")] * 6
    expected = read_image(sources[0]).components[1].quantized
    with ThreadPoolExecutor(8) as pool:
        for image in pool.map(read_image, sources):
            np.testing.assert_array_equal(image.components[1].quantized, expected)


def test_headers_of_inks_need_no_pixels(files: dict[str, bytes]) -> None:
    assert read_header(files["cmyk"]).color == "cmyk"
    at_scan = files["cmyk"].index(b"\xff\xda")
    header_only = files["cmyk"][: at_scan + 20]
    assert read_size(header_only) == (HEIGHT, WIDTH)
