"""libjpeg's own word on a file's quantized coefficients: compiles libjpeg_coefficients.c and reads what it writes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

SOURCE = Path(__file__).with_name("libjpeg_coefficients.c")

# jerror.h: warnings that leave every coefficient known.
HARMLESS = frozenset({"JWRN_ADOBE_XFORM", "JWRN_EXTRANEOUS_DATA", "JWRN_JFIF_MAJOR", "JWRN_NOT_SEQUENTIAL"})


@dataclass(frozen=True)
class Plane:
    """One component: sampling (v, h), coefficients (blocks down, blocks across, 64), table (64) or none."""

    sampling: tuple[int, int]
    quantized: np.ndarray[Any, np.dtype[np.int16]]
    quantization: np.ndarray[Any, np.dtype[np.uint16]] | None


COLORS = ("unknown", "gray", "rgb", "ycbcr", "cmyk", "ycck")  # J_COLOR_SPACE


@dataclass(frozen=True)
class Reading:
    """What libjpeg made of one file; `refusal` is its error text, and then there are no planes."""

    refusal: str
    warnings: tuple[str, ...]
    color: str = ""
    progressive: bool = False
    planes: tuple[Plane, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every coefficient is known: read, and nothing worse than harmless warnings."""
        return not self.refusal and HARMLESS.issuperset(self.warnings)


class Libjpeg:
    """A compiled oracle; one process reads a whole batch."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "libjpeg_coefficients"
        command = ["cc", "-O2", str(SOURCE), "-ljpeg", "-o", str(self.program)]
        subprocess.run(command, check=True)

    def read(self, paths: Sequence[Path]) -> Iterator[Reading]:
        """Yield one reading a path, in order."""
        process = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)
        assert process.stdin is not None
        assert process.stdout is not None
        feed = threading.Thread(target=_feed, args=(process.stdin, paths))
        feed.start()
        try:
            for _ in paths:
                yield _reading(process.stdout)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
            feed.join()


def _feed(pipe: IO[bytes], paths: Sequence[Path]) -> None:
    try:
        pipe.write("".join(f"{path}\n" for path in paths).encode())
        pipe.close()
    except BrokenPipeError:  # the reader has seen enough
        pass


def _reading(pipe: IO[bytes]) -> Reading:
    status, num_warnings, num_names = _integers(pipe, 3)
    names = [_text(pipe) for _ in range(num_names)]
    if num_warnings > num_names:
        names.append("and more")
    refusal = _text(pipe)
    if status:
        return Reading(refusal=refusal or "refused", warnings=tuple(names))
    color, progressive, num_components = _integers(pipe, 3)
    planes = tuple(_plane(pipe) for _ in range(num_components))
    return Reading("", tuple(names), COLORS[color], bool(progressive), planes)


def _plane(pipe: IO[bytes]) -> Plane:
    _, h, v, down, across, has_table = _integers(pipe, 6)
    table = np.frombuffer(_bytes(pipe, 128), np.uint16)
    quantized = np.frombuffer(_bytes(pipe, down * across * 128), np.int16).reshape(down, across, 64)
    return Plane(sampling=(v, h), quantized=quantized, quantization=table if has_table else None)


def _bytes(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError("the oracle died")
    return data


def _integers(pipe: IO[bytes], count: int) -> list[int]:
    return [int(value) for value in np.frombuffer(_bytes(pipe, 4 * count), np.int32)]


def _text(pipe: IO[bytes]) -> str:
    (size,) = _integers(pipe, 1)
    return _bytes(pipe, size).decode("latin-1")
