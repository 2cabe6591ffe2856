"""The processes of a run: who they are, and how they agree on plain numbers."""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn

from prepixel.engine.devices import choose_device
from prepixel.engine.settings import SettingsError, TrainSettings

T = TypeVar("T")

_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
_SUPPORTED = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}


def disable_malloc_trim() -> bool:
    """Keep freed memory in this process instead of returning it to the system; glibc only.

    A network on the CPU allocates and frees hundreds of megabytes per step; glibc returns such blocks to the system,
    which clears every page when it hands them out again. On two cores that was half of a MobileNetV2's training time
    (see benchmarks/notes.md). The setting lasts as long as the process; peak memory grows by some percent.

    Returns:
        Whether the C library accepted the setting.
    """
    try:
        mallopt: Any = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    return bool(mallopt(m_trim_threshold, 2**31 - 1)) and bool(mallopt(m_mmap_max, 0))


def start_accelerator(settings: TrainSettings) -> Accelerator:
    """Join the other processes of the run, if it was launched with several, and choose a device.

    ``torchrun`` and ``accelerate launch`` both say by environment variables which of how many processes this is.
    ``process_index`` and ``num_processes`` of what comes back are what loaders need.

    Raises:
        SettingsError: the settings ask for what this machine or this way of launching does not have.
    """
    cpu = choose_device(settings.device).type == "cpu"
    if settings.precision == "float16" and (cpu or not torch.cuda.is_available()):
        raise SettingsError("precision float16 needs a CUDA device, and this run has none; use bfloat16 or float32")
    if "WORLD_SIZE" not in os.environ and "MASTER_PORT" in os.environ and "ACCELERATE_USE_CPU" in os.environ:
        raise SettingsError(
            "accelerate launch --cpu starts one process whatever --num_processes says, unless it has mpirun; "
            "use torchrun --nproc-per-node N, or accelerate launch --multi_gpu with device: cpu"
        )
    # Accelerate keeps its state for the life of a process; a second run in it may want another precision or device.
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    AcceleratorState._reset_state(reset_partial_state=alone)  # noqa: SLF001
    joined = dist.is_initialized()
    accelerator = Accelerator(cpu=cpu, mixed_precision=_PRECISIONS[settings.precision])
    if not joined and dist.is_initialized():
        atexit.register(_leave_group)
    if accelerator.distributed_type not in _SUPPORTED:
        raise SettingsError(
            f"this run was launched for {accelerator.distributed_type.value}; prepixel trains in one process or in "
            "several that hold the whole network each (DDP): launch it with torchrun, or with accelerate launch "
            "--multi_gpu"
        )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != launched:
        raise SettingsError(
            f"the launcher started {launched} processes but {accelerator.num_processes} joined; "
            "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT must be set for each of them"
        )
    return accelerator


def _leave_group() -> None:
    """Leave the process group while Python still runs.

    Gloo's threads may hold tensors, which they cannot release once the interpreter is torn down: the process then
    aborts after all its work is done (pytorch/pytorch, pull request 179291). NCCL's groups may wait for others here.
    """
    if dist.is_initialized() and dist.get_backend() == "gloo":
        dist.destroy_process_group()


@dataclass(frozen=True)
class DistributedContext:
    """Exchange plain numbers between processes on the host, so that a busy device is never waited for.

    Every method must be called by all processes at the same point; with one process all of them are free.

    Attributes:
        rank: which process this is, from 0.
        world_size: how many there are.
        group: a gloo group; None with one process.
    """

    rank: int = 0
    world_size: int = 1
    group: Any = None

    @classmethod
    def join(cls) -> DistributedContext:
        """Join the processes that ``torch.distributed`` knows."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return cls()
        return cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))

    def gather(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return every process's integers, by rank."""
        if self.world_size == 1:
            return [list(numbers)]
        own = torch.tensor(numbers, dtype=torch.int64)
        rows = [torch.empty_like(own) for _ in range(self.world_size)]
        dist.all_gather(rows, own, group=self.group)
        return [row.tolist() for row in rows]

    def gather_objects(self, value: T) -> list[T]:
        """Return every process's value, by rank; values are pickled."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def sum(self, numbers: Sequence[int | float]) -> list[float]:
        """Add up every process's numbers, in rank order, in float64."""
        return [sum(column) for column in zip(*self.gather_objects([float(number) for number in numbers]), strict=True)]

    def share_buffers(self, *networks: nn.Module | None) -> None:
        """Broadcast the first process's running statistics; each process has those of its own share of the batches."""
        if self.world_size == 1:
            return
        for network in networks:
            for buffer in network.buffers() if network is not None else ():
                dist.broadcast(buffer, src=0)
