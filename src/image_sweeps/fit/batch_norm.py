"""Batch norm with the statistics of the whole batch, for ranks that each hold a share of the batch.

torch's own `SyncBatchNorm` runs on GPUs only. It waits for the device in every layer, to leave out ranks without
images, and fails if such a rank computes in bfloat16. This implementation runs on every device, so that tests on the
CPU cover what GPUs do.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from image_sweeps.fit.parallel import World


def convert_sync_batchnorm(model: nn.Module, world: World) -> None:
    """Replace every batch norm of `model` by a `SyncBatchNorm` with the same parameters."""
    for name, module in list(model.named_modules()):
        if isinstance(module, _BatchNorm):
            model.set_submodule(name, SyncBatchNorm(module, world))


class SyncBatchNorm(_BatchNorm):
    """A 1d or 2d batch norm over the shares of all ranks (Ioffe and Szegedy, 2015, arXiv:1502.03167).

    Args:
        other: the batch norm whose parameters, running statistics and settings are taken over.
        world: the processes that hold the shares of the batch.
    """

    def __init__(self, other: _BatchNorm, world: World) -> None:
        super().__init__(other.num_features, other.eps, other.momentum, device="meta")
        self.weight, self.bias = other.weight, other.bias
        self.running_mean, self.running_var = other.running_mean, other.running_var
        self.num_batches_tracked = other.num_batches_tracked
        self.world = world
        self.train(other.training)
        # The compiler cannot trace communication between processes. Excluding it imports the compiler, which takes
        # seconds and therefore happens only in cells with several ranks.
        self._uncompiled = torch.compiler.disable(SyncBatchNorm._whole)  # type: ignore[no-untyped-call]

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002, torch's name
        assert input.dim() in (2, 4)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's name
        whole: Tensor = self._uncompiled(self, input) if self.training else super().forward(input)
        return whole

    def _whole(self, share: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        out, mean, var, count = _Whole.apply(share, self.weight, self.bias, self.eps, self.world)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        normalised: Tensor = out
        return normalised


class _Whole(torch.autograd.Function):
    """x^ = (x - mean) / sqrt(var + eps), y = weight * x^ + bias, with the mean and variance of all ranks' values."""

    @staticmethod
    def forward(
        ctx: Any, share: Tensor, weight: Tensor, bias: Tensor, eps: float, world: World
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        num_channels = share.shape[1]
        rows = weight.new_zeros(world.size, 2 * num_channels + 1)  # of each rank: means, variances, number of values
        if share.numel():
            moments = torch.batch_norm_update_stats(share, None, None, 0.0)  # 10 times as fast as var_mean on a CPU
            count = weight.new_full((1,), share.numel() // num_channels)
            rows[world.rank] = torch.cat([*moments, count])
        means, variances, counts = torch.split(world.sum(rows), [num_channels, num_channels, 1], dim=1)
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        var = ((variances + (means - mean).square()) * counts).sum(0) / count
        ctx.save_for_backward(share, weight, mean, var, count)
        ctx.eps, ctx.world = eps, world
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(share, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of this rank's x, weight and bias.

        With g the gradient of y and n the number of values of a channel on all ranks, the gradient of x is
        weight / sqrt(var + eps) * (g - (sum(g) + x^ * sum(g * x^)) / n). The first term treats the statistics as
        constants; the others account for their dependence on x.
        """
        share, weight, mean, var, count = ctx.saved_tensors
        inverse = torch.rsqrt(var + ctx.eps)
        grad_share, grad_weight, grad_bias = _with_constant_statistics(grad, share, weight, mean, var, ctx.eps)
        sum_gx, sum_g = ctx.world.sum(torch.stack([grad_weight, grad_bias])).unbind()
        slope = -weight * inverse.square() * sum_gx / count
        offset = -weight * inverse * sum_g / count - slope * mean
        shape = (-1, *[1] * (share.dim() - 2))
        rest = share * slope.view(shape) + offset.view(shape)
        return (grad_share + rest).to(share.dtype), grad_weight, grad_bias, None, None


def _with_constant_statistics(
    grad: Tensor, share: Tensor, weight: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias. For an empty x, torch's kernel would divide by zero and crash."""
    if not share.numel():
        return grad, torch.zeros_like(weight), torch.zeros_like(weight)
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        grad, share, weight, mean, var, None, None, False, eps, [True, True, True]
    )
    return gradients
