"""Memory that the compiled core keeps between calls."""

from __future__ import annotations

from prepixel import _native


def release_memory() -> None:
    """Free the coefficient planes and Huffman tables that are kept for the next files.

    Planes of images and arrays that are gone are kept for reuse, at most 64 MiB of each: fresh pages cost up to as much
    as decoding into them. Call this when a process has read its last files and lives on, or before it forks many
    workers. It may be called at any time, on any thread; what another thread is using stays. When the system refuses
    memory, the core does the same by itself before it raises MemoryError.

    >>> release_memory()
    """
    _native.release_memory()
