"""What errors say: which source, what is wrong, and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from prepixel.errors import MalformedJpeg, ReadFailure, describe_error


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOENT, "check the path"),
        (errno.EACCES, "check the permissions of the file and of the folders above it"),
        (errno.EISDIR, "name a file"),
        (errno.ENOTDIR, "a part of the path is a file; check the path"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n), or use fewer threads"),
        (errno.EIO, "its disk or file system failed; try again, or fetch the file again"),
    ],
)
def test_errors_of_the_system_are_named_and_hinted(number: int, hint: str) -> None:
    error = OSError(number, os.strerror(number), "/data/a.jpg")
    assert describe_error(error) == f"/data/a.jpg: {os.strerror(number)}; {hint}"
    assert ReadFailure(0, "cat/a.jpg", error).message == f"cat/a.jpg: {os.strerror(number)}; {hint}"
    assert ReadFailure(0, "b.jpg", OSError(number, os.strerror(number))).message.startswith("b.jpg: ")


def test_other_errors_keep_their_text() -> None:
    own = MalformedJpeg("reserved marker", byte_offset=7, hint="Fetch it again", source="a.jpg")
    assert describe_error(own, "shown") == "a.jpg, byte 7: reserved marker. Fetch it again"
    assert describe_error(OSError("broken"), "a.jpg") == "a.jpg: broken"
    hinted = OSError(errno.EACCES, "Permission denied; name a target that you may write", "out")
    assert describe_error(hinted) == "out: Permission denied; name a target that you may write"
