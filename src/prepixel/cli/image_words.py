"""Words for what image files hold."""

from __future__ import annotations

COLORS = {"gray": "gray", "ycbcr": "YCbCr", "rgb": "RGB", "cmyk": "CMYK", "ycck": "YCCK"}
ORIENTATIONS = {
    1: "as stored",
    2: "mirrored left to right",
    3: "rotated by 180 degrees",
    4: "mirrored top to bottom",
    5: "transposed",
    6: "to be rotated clockwise",
    7: "transposed about the other diagonal",
    8: "to be rotated counterclockwise",
}
BROKEN = {
    "DamagedJpeg": "libjpeg reads these with a warning",
    "TruncatedJpeg": "the file ends before its image",
    "UnsupportedJpeg": "a kind of JPEG that is not decoded",
    "UnreadableImage": "no image that can be opened",
}
