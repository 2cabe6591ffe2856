"""Lock a folder, so that one process at a time writes into it."""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from prepixel.errors import FolderInUse
from prepixel.stores.remote_path import is_url

_LOCK_NAME = ".prepixel-lock"


_CANNOT_LOCK = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


@contextlib.contextmanager
def directory_lock(
    folder: str | os.PathLike[str], activity: str, *, name: str | os.PathLike[str] | None = None
) -> Iterator[None]:
    """Lock a folder against other processes that ask for its lock, until the block ends or this process dies.

    The lock is that of an empty file ``.prepixel-lock`` in the folder, which stays. On file systems without `flock`
    the existence of a second file, which names the process, stands in for it; the next process removes that of a
    process that has died on the same machine.

    Args:
        folder: it must exist.
        activity: what the holder does, for the message to another process, such as "packing into".
        name: what the message calls the folder; None for its own path.

    Raises:
        FolderInUse: another process has the lock.
        OSError: the lock file cannot be written.
    """
    from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

    if is_url(os.fspath(folder)):  # a store has no locks; what is written there is the same whoever writes it
        yield
        return
    path = Path(folder) / _LOCK_NAME
    if not path.parent.is_dir():  # filelock would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(folder))
    lock: BaseFileLock = FileLock(path, thread_local=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # filelock's, where it falls back by itself
            try:
                lock.acquire(timeout=0)
            except (OSError, NotImplementedError) as error:
                if isinstance(error, Timeout) or (isinstance(error, OSError) and error.errno not in _CANNOT_LOCK):
                    raise
                lock = SoftFileLock(path.with_name(f"{_LOCK_NAME}-owner"), thread_local=False)
                lock.acquire(timeout=0)
    except Timeout:
        raise FolderInUse(
            f"{os.fspath(name or folder)}: another process is {activity} it; wait until it ends, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()
