"""What makes training on a CPU faster, and leaves the trained weights what they are.

* bfloat16 where the processor multiplies in it (AMX or AVX512-BF16): `half_precision()`;
* group normalisation and attention written as the few passes they need: PyTorch's backward passes of both took half of a step;
* Muon for every matrix: the same loss after fewer samples.
"""

from contextlib import AbstractContextManager

import torch
from diffusers.models.attention_processor import Attention
from torch import nn


def _multiplies_bfloat16() -> bool:
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def half_precision() -> AbstractContextManager:
    return torch.autocast("cpu", torch.bfloat16, enabled=_multiplies_bfloat16())


class _GroupNorm(torch.autograd.Function):
    """PyTorch's forward pass, and a backward pass that reads each array as often as it must."""

    @staticmethod
    def forward(ctx, x, weight, bias, groups, epsilon):
        batch, channels = x.shape[:2]
        x = x.contiguous()
        y, mean, rate = torch.native_group_norm(
            x, weight.to(x.dtype), bias.to(x.dtype), batch, channels, x[0, 0].numel(), groups, epsilon
        )
        per_channel = lambda v: v.float().repeat_interleave(channels // groups, 1)
        ctx.save_for_backward(x.flatten(2), per_channel(mean), per_channel(rate), weight)
        ctx.groups = groups
        return y

    @staticmethod
    def backward(ctx, dy):
        x, mean, rate, weight = ctx.saved_tensors
        batch, channels, count = x.shape
        shape, dy = dy.shape, dy.reshape(x.shape)
        total = dy.sum(-1).float()
        along = ((dy * x).sum(-1).float() - mean * total) * rate  # sum of dy times normalised x
        size = count * channels // ctx.groups

        def of_group(v):
            sums = (v * weight).view(batch, ctx.groups, -1).sum(-1) / size
            return sums.repeat_interleave(channels // ctx.groups, 1)

        slope = -of_group(along) * rate * rate
        offset = -of_group(total) * rate - slope * mean
        dx = torch.addcmul(offset.to(x.dtype)[..., None], x, slope.to(x.dtype)[..., None])
        dx.addcmul_(dy, (rate * weight).to(x.dtype)[..., None])
        return dx.view(shape), along.sum(0), total.sum(0), None, None


def probabilities(query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Softmax of scaled dot products plus `bias`, from [batch, heads, tokens, width] each to [batch, heads, queries, keys]."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1, dtype=scores.dtype)


class _Attention:
    """A processor for every attention of a UNet and an autoencoder."""

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        residual, shape = hidden_states, hidden_states.shape
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        out = probabilities(heads(attn.to_q(hidden_states)), heads(attn.to_k(states))) @ heads(attn.to_v(states))
        out = attn.to_out[0](out.transpose(1, 2).flatten(2))
        out = out.transpose(1, 2).reshape(shape) if len(shape) == 4 else out
        return out + residual if attn.residual_connection else out


def accelerate(model: nn.Module) -> None:
    """Gives group norms and attentions of `model` their faster forms; state names and configuration stay."""
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = lambda x, m=module: _GroupNorm.apply(x, m.weight, m.bias, m.num_groups, m.eps)
        elif isinstance(module, Attention):
            module.set_processor(_Attention())


@torch.no_grad()
def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix with the singular vectors of `matrix` and singular values near 1: five Newton-Schulz steps (Jordan, Muon, 2024)."""
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    x = x.bfloat16() if _multiplies_bfloat16() else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x if matrix.shape[0] <= matrix.shape[1] else x.T).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; for the weights of linear layers and convolutions."""

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 1e-2) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(momentum, group["momentum"]).flatten(1)
                rows, columns = ahead.shape
                update = orthogonal(ahead) * max(1, rows / columns) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(update.view_as(p), alpha=group["lr"])
