"""Batch norm over the batches of all processes, on any device."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn import functional as collectives

from prepixel.engine.settings import SettingsError

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_Base = nn.modules.batchnorm._BatchNorm  # noqa: SLF001


def synchronize_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch norm by one whose statistics are those of the batches of all processes.

    Parameters, buffers and their names stay. On a CUDA device plain batch norms become torch's ``SyncBatchNorm``, which
    has kernels for it.

    Args:
        network: changed in place, and returned, since it may be a batch norm itself.
        device: that it is trained on.

    Raises:
        SettingsError: a batch norm of a class whose forward is not known.
    """
    if isinstance(network, _Base) and not isinstance(network, nn.SyncBatchNorm | SynchronizedBatchNorm):
        if type(network) in _PLAIN and device.type == "cuda":
            converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            return converted
        return SynchronizedBatchNorm(network)
    for name, child in list(network.named_children()):
        setattr(network, name, synchronize_batch_norm(child, device))
    return network


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether some batch norm of the network sees its own process's share of a batch alone."""
    kinds = (nn.SyncBatchNorm, SynchronizedBatchNorm)
    return any(isinstance(part, _Base) and not isinstance(part, kinds) for part in network.modules())


class SynchronizedBatchNorm(_Base):
    """Batch norm whose mean and variance are those of all processes' batches.

    Two sums are exchanged, of the values and of their squared distances from the mean, so that the variance is as exact
    as that of one process. Every process must take part in every forward in training; their batches may differ in size.
    In evaluation, and in a single process, it is torch's. With timm's activation behind it, where the module had one.

    Args:
        module: the batch norm whose parameters and buffers this one takes.

    Raises:
        SettingsError: it is neither torch's nor timm's ``BatchNormAct2d``: its forward may do more.
    """

    def __init__(self, module: _Base) -> None:
        is_timm = type(module).__name__ == "BatchNormAct2d" and hasattr(module, "act") and hasattr(module, "drop")
        if type(module) not in _PLAIN and not is_timm:
            raise SettingsError(
                f"sync_batchnorm does not know {type(module).__module__}.{type(module).__qualname__}, a batch norm of "
                "this network; set it to false: each process then normalizes by its own share of the batch"
            )
        super().__init__(module.num_features, module.eps, module.momentum, affine=False, track_running_stats=False)
        self.affine, self.track_running_stats = module.affine, module.track_running_stats
        self.weight, self.bias = module.weight, module.bias
        self.running_mean, self.running_var = module.running_mean, module.running_var
        self.num_batches_tracked = module.num_batches_tracked
        self.training = module.training
        if is_timm:
            self.drop, self.act = module.drop, module.act

    def _check_input_dim(self, values: Tensor) -> None:
        if values.dim() < 2:
            raise ValueError(f"batch norm needs a batch of at least 2 dimensions, not {tuple(values.shape)}")

    def forward(self, values: Tensor) -> Tensor:
        """Normalize by the batches of all processes."""
        alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
        normalized = super().forward(values) if alone or not self.training else self._over_processes(values)
        for name in ("drop", "act"):
            part = self._modules.get(name)
            normalized = normalized if part is None else part(normalized)
        return normalized

    def _over_processes(self, values: Tensor) -> Tensor:
        self._check_input_dim(values)
        others = [axis for axis in range(values.dim()) if axis != 1]
        wide = values.float()
        own = wide.new_tensor([values.numel() / values.shape[1]])
        sums = collectives.all_reduce(torch.cat([wide.sum(others), own]))  # type: ignore[no-untyped-call]
        count = sums[-1].detach()
        shape = [1, -1, *[1] * (values.dim() - 2)]
        mean = sums[:-1] / count
        centered = wide - mean.view(shape)
        variance = collectives.all_reduce(centered.square().sum(others)) / count  # type: ignore[no-untyped-call]
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normalized = centered * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normalized = normalized * self.weight.view(shape) + self.bias.view(shape)
        result: Tensor = normalized.to(values.dtype)
        return result

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)
