"""The projection of plus adapters: a few learnt latents look at all states of the image encoder (Jaegle et al., Perceiver, 2021;
Alayrac et al., Flamingo, 2022). State names are those of the published adapters, whose heads have 64 channels.
"""

import torch
from torch import nn

import fast

HEAD = 64
HEADS = 2
DEPTH = 4


class LatentAttention(nn.Module):
    """What latents [batch, tokens, width] read in states and in themselves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, HEADS * HEAD, bias=False)
        self.to_kv = nn.Linear(width, 2 * HEADS * HEAD, bias=False)
        self.to_out = nn.Linear(HEADS * HEAD, width, bias=False)

    def forward(self, states: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        heads = lambda x: x.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)
        latents = self.norm2(latents)
        key, value = self.to_kv(torch.cat([self.norm1(states), latents], 1)).chunk(2, -1)
        out = fast.probabilities(heads(self.to_q(latents)), heads(key)) @ heads(value)
        return self.to_out(out.transpose(1, 2).flatten(2))


class Resampler(nn.Module):
    """States of the image encoder [batch, states, width] to image tokens [batch, tokens, cross]."""

    def __init__(self, tokens: int, width: int, cross: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, cross) * cross**-0.5)
        self.proj_in, self.proj_out, self.norm_out = nn.Linear(width, cross), nn.Linear(cross, cross), nn.LayerNorm(cross)
        feed = lambda: nn.Sequential(
            nn.LayerNorm(cross), nn.Linear(cross, 4 * cross, bias=False), nn.GELU(), nn.Linear(4 * cross, cross, bias=False)
        )
        self.layers = nn.ModuleList(nn.ModuleList([LatentAttention(cross), feed()]) for _ in range(DEPTH))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        latents, states = self.latents.expand(len(states), -1, -1), self.proj_in(states)
        for attention, feed in self.layers:
            latents = latents + attention(states, latents)
            latents = latents + feed(latents)
        return self.norm_out(self.proj_out(latents))
