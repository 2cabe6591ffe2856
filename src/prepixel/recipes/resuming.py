"""Recipe keys that may change between two starts of a run."""

from __future__ import annotations

from prepixel.engine.settings import RESUMABLE

# They change where, how fast and with which record a run trains, not what it learns.
RESUMABLE_KEYS = frozenset(
    {
        "name",
        *(f"data.{name}" for name in ("threads", "workers", "read_ahead", "val_batch_size", "use_indexes")),
        *(f"data.{name}" for name in ("cache", "cache_bytes")),
        *(f"training.{name}" for name in RESUMABLE),
    }
)
