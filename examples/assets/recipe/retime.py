"""Carries a UNet to another noise schedule: `python retime.py UNET SCHEDULER` writes `model/unet_start` for `unet.SCHEDULE`.

Only its time embedding changes: it is refitted so that each timestep says what the equally noisy one of SCHEDULER said before.
Noise that SCHEDULER does not reach is told to be its noisiest. The unet stage goes on from there.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel

import settings
from unet import Scheduler, saved_scheduler, scheduler

STEPS = 6000


def equally_noisy(old: Scheduler, new: Scheduler) -> torch.Tensor:
    """For every timestep of `new` the (fractional) one of `old` with the same share of signal."""
    signals = (-one.alphas_cumprod.double().log().numpy() for one in (new, old))
    return torch.from_numpy(np.interp(*signals, np.arange(len(old.alphas_cumprod)))).float()


def retime(unet: UNet2DConditionModel, old: Scheduler, new: Scheduler, steps: int = STEPS) -> float:
    """Refits the time embedding of `unet`; returns the share of its variance that is lost."""
    embedding, wave = unet.time_embedding, unet.time_proj
    with torch.no_grad():
        wanted = F.silu(embedding(wave(equally_noisy(old, new))))  # every reader of the embedding applies SiLU first
    inputs = wave(torch.arange(len(new.alphas_cumprod)).float())
    optimizer = torch.optim.Adam(embedding.parameters())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        optimizer.zero_grad()
        loss = F.mse_loss(F.silu(embedding(inputs)), wanted)
        loss.backward()
        optimizer.step()
    return (loss / wanted.var()).item()


def main() -> None:
    torch.set_num_threads(1)
    unet = UNet2DConditionModel.from_pretrained(Path(sys.argv[1]))
    lost = retime(unet, saved_scheduler(Path(sys.argv[2])), scheduler())
    unet.save_pretrained(settings.MODEL / "unet_start")
    print(f"{100 * lost:.3f} % of the time embedding's variance lost")


if __name__ == "__main__":
    main()
