"""An exported network, opened: what predictors of every task have alike."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from prepixel.jpeg.batch import checked_threads
from prepixel.jpeg.source import Limits
from prepixel.runtime.exported_files import ExportedFiles
from prepixel.runtime.inference import Engine, GraphRunner, open_graph
from prepixel.runtime.manifest import Manifest, Task

_Opened = TypeVar("_Opened", bound="OpenedNetwork")


@dataclass(frozen=True)
class OpenedNetwork:
    """Store an exported network, opened. Several threads may use one at once.

    Attributes:
        manifest: of the network.
        classes: names, in label order.
        graph: the opened graph.
        threads: that read photos; 0 for one per CPU.
        limits: what each file may ask for.
    """

    task: ClassVar[Task]

    manifest: Manifest
    classes: tuple[str, ...]
    graph: GraphRunner
    threads: int = 0
    limits: Limits = Limits()

    @classmethod
    def load(
        cls: type[_Opened],
        folder: str | os.PathLike[str],
        *,
        engine: Engine = "onnxruntime",
        threads: int = 0,
        limits: Limits = Limits(),
    ) -> _Opened:
        """Open an exported network.

        Args:
            folder: written by ``prepixel export``.
            engine: ``onnxruntime`` or ``openvino``.
            threads: that read photos, and that the engine computes on; 0 for one per CPU.
            limits: what each file may ask for.

        Raises:
            ModelError: a file of the folder is missing, altered, of a newer version, or does not load, or the network
                is one for another task.
            MissingDependency: the engine is not installed.
            ValueError: a negative number of threads.
        """
        checked_threads(threads)
        files = ExportedFiles.read(Path(folder))
        files.manifest.check_task(cls.task, files.folder)
        return cls(files.manifest, files.labels, open_graph(files, engine, threads=threads), threads, limits)
