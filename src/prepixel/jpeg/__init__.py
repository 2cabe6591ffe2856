"""What JPEG files hold: quantized coefficients, their tables, and what the files say of themselves."""

from prepixel.jpeg.image import Component, JpegImage
from prepixel.jpeg.reading import JpegHeader, Limits, read_header, read_jpeg

__all__ = ["Component", "JpegHeader", "JpegImage", "Limits", "read_header", "read_jpeg"]
