"""What can be wrong with an input, said as: what, where, and what to do."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

# What to do about an error of the system, which itself says only what is wrong
_SYSTEM_HINTS = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EISDIR: "name a file",
    errno.EACCES: "check the permissions of the file and of the folders above it",
    errno.EPERM: "check the permissions of the file and of the folders above it",
    errno.ELOOP: "it is a link that leads back to itself; link to a file",
    errno.EIO: "its disk or file system failed; try again, or fetch the file again",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer threads",
    errno.ENFILE: "the system has too many open files; close other programs, or try again",
    errno.ENAMETOOLONG: "give it a shorter name",
}


class PrepixelError(Exception):
    """Report that an input cannot be used; every error of prepixel's own is one of these."""


class JpegError(PrepixelError, ValueError):
    """Report that a JPEG cannot be read.

    Attributes:
        what: what is wrong, in the standard's words.
        byte_offset: where in the file, counted from 0; None where no single place is at fault.
        hint: what the reader of the message can do.
        source: the file's name, or a description of the buffer; None until a caller knows it.
    """

    def __init__(self, what: str, *, byte_offset: int | None = None, hint: str = "", source: str | None = None) -> None:
        super().__init__(what, byte_offset, hint, source)
        self.what = what
        self.byte_offset = byte_offset
        self.hint = hint
        self.source = source

    def __str__(self) -> str:
        where = [part for part in (self.source, self._place()) if part]
        text = f"{', '.join(where)}: {self.what}" if where else self.what
        return f"{text}. {self.hint}" if self.hint else text

    def _place(self) -> str:
        return "" if self.byte_offset is None else f"byte {self.byte_offset}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.byte_offset, self.hint, self.source)


def _rebuild(kind: type[JpegError], what: str, byte_offset: int | None, hint: str, source: str | None) -> JpegError:
    return kind(what, byte_offset=byte_offset, hint=hint, source=source)


class MalformedJpeg(JpegError):
    """Report bytes that contradict ITU-T T.81."""


class DamagedJpeg(MalformedJpeg):
    """Report compressed data that contradict ITU-T T.81 where libjpeg warns, makes up coefficients and reads on."""


class TruncatedJpeg(MalformedJpeg):
    """Report a file that ends before its image does."""


class UnsupportedJpeg(JpegError):
    """Report a valid JPEG of a kind that this reader does not decode."""


class JpegLimitExceeded(JpegError):
    """Report a file that asks for more pixels, components, scans or memory than the caller allows."""


class MalformedPack(JpegError):
    """Report a packed image that contradicts its format (docs/formats/packed-images.md) or fails its checksum."""


class MalformedIndex(JpegError):
    """Report the index of a JPEG that contradicts its format (docs/formats/jpeg-index.md) or fails its checksum."""


class UnreadableImage(PrepixelError, ValueError):
    """Report a file that is no image that prepixel or Pillow can open."""


class RecordedError(PrepixelError):
    """Carry an error that a journal recorded as text in an earlier run.

    Attributes:
        kind: the class name of the error that was raised then.
        message: its text.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class ReadFailure:
    """Describe one source that could not be read.

    Attributes:
        index: its place among the sources.
        source: its path, or a description of the buffer.
        error: what reading it alone would have raised.
    """

    index: int
    source: str
    error: Exception

    @property
    def kind(self) -> str:
        """Return the class name of the error."""
        return self.error.kind if isinstance(self.error, RecordedError) else type(self.error).__name__

    @property
    def message(self) -> str:
        """Return the text of the error: which source, what is wrong, and what to do."""
        return describe_error(self.error, self.source)


def describe_error(error: Exception, source: str | None = None) -> str:
    """Return an error as one line: which source, what is wrong, and what to do.

    prepixel's own errors say all three. The system's are given the source's name, and a hint where there is one.

    Args:
        error: of prepixel or of the system.
        source: the name to show of the source; None for the path in the system's error.

    >>> describe_error(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jpg"))
    'a.jpg: No such file or directory; check the path'
    """
    if not isinstance(error, OSError) or isinstance(error, PrepixelError):
        return str(error)
    text, hint = reason_of(error), _SYSTEM_HINTS.get(error.errno or 0)
    if hint and ";" not in text:  # some have a hint already
        text += f"; {hint}"
    if source is None and error.filename is not None:
        source = os.fsdecode(error.filename)
    return text if source is None else f"{source}: {text}"


def reason_of(error: Exception) -> str:
    """Return what is wrong, without the path that the system's errors end in, for a message that names it."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


class MissingDependency(PrepixelError, ImportError):
    """Report that an optional package is not installed, and which extra of prepixel brings it.

    Attributes:
        package: the package to install.
        extra: the extra of prepixel that brings it.
        wanted_by: what needs it.
    """

    def __init__(self, package: str, extra: str, wanted_by: str) -> None:
        super().__init__(package, extra, wanted_by)
        self.package = package
        self.extra = extra
        self.wanted_by = wanted_by

    def __str__(self) -> str:
        return f"{self.wanted_by} needs the package {self.package}; install it: pip install 'prepixel[{self.extra}]'"


class BandSetError(PrepixelError, ValueError):
    """Report a band set, the name of one, or a file of one, that cannot be used."""


class StatisticsError(PrepixelError, ValueError):
    """Report channel statistics, or a file of them, that cannot be used."""


class ModelError(PrepixelError, ValueError):
    """Report a network, its weights or its file that cannot be used."""


class RecipeError(PrepixelError, ValueError):
    """Report a recipe, or an override of one, that does not describe a run."""


class RunError(PrepixelError, ValueError):
    """Report a run, its folder or its records that cannot be used as asked."""


class NonFiniteLoss(PrepixelError, ArithmeticError):
    """Report a loss that is infinite or not a number; training stops rather than go on with it."""


class DatasetError(PrepixelError, ValueError):
    """Report a folder that does not hold a data set in the layout asked for."""


class FolderInUse(PrepixelError):
    """Report a folder that another process is writing into."""


class ClusterError(PrepixelError, RuntimeError):
    """Report a cluster that cannot be reached, or whose workers die again and again."""


class StoreError(PrepixelError):
    """Report an object store that cannot be reached, refuses, or holds something else than it should."""


class ObjectReplaced(StoreError):
    """Report an object that another one has replaced since it was listed."""
