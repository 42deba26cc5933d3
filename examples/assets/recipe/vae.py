"""Stage 4: the autoencoder, factor 4, four latent channels.

The posterior begins nearly deterministic (log-variance -4) and the KL term is small, so that reconstruction comes first. Objects
weigh three times as much as their surroundings. The published copy has every latent channel at mean 0 and deviation 1: the
statistics are folded into the two 1 x 1 convolutions around the latents, which changes nothing else.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import fast
import settings
import sheets
import trainer
import world

REFRESH = 3000  # steps between two pools of pictures


def build() -> AutoencoderKL:
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=settings.PIXELS,
        scaling_factor=1.0,
    )
    vae.quant_conv.bias.data[4:] = -4.0
    vae.quant_conv.weight.data[4:] *= 0.1
    return vae


@torch.no_grad()
def fold_latent_statistics(vae: AutoencoderKL, mean: torch.Tensor, deviation: torch.Tensor) -> AutoencoderKL:
    """A copy whose latents are (latents - mean) / deviation, with the same reconstructions."""
    folded = build()  # no deep copy: an accelerated model's forward methods would stay those of the original
    folded.load_state_dict(vae.state_dict())
    before, after = folded.quant_conv, folded.post_quant_conv
    before.weight[:4] /= deviation[:, None, None, None]
    before.bias[:4] = (before.bias[:4] - mean) / deviation
    before.bias[4:] -= 2 * deviation.log()
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight *= deviation[None, :, None, None]
    folded.register_to_config(scaling_factor=1.0)
    return folded


def pool(count: int, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [count, 3, SIZE, SIZE] and object coverage [count, 1, SIZE, SIZE], both uint8."""
    place, side = world.World(), settings.PIXELS
    images = np.empty((count, side, side, 3), np.uint8)
    objects = np.empty((count, 1, side, side), np.uint8)
    for k in range(count):
        if random.random() < 0.85:
            scene = place.scene(random)
            image, mask = scene.image, scene.masks.max(0)
        else:
            image, mask = place.reference(random, place.identity(random), 0.5), np.float32(0.3)
        images[k], objects[k] = np.clip(image, 0, 1) * 255, mask * 255
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(objects)


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(settings.SEED)
    vae = build()
    fast.accelerate(vae)
    place, random = world.World(), np.random.default_rng(5)
    test = world.batch([place.scene(random).image for _ in range(64)]) * 2 - 1
    count, pools = settings.BATCH["vae"], {}

    def loss(step: int) -> dict[str, torch.Tensor]:
        generation = step // REFRESH
        if generation not in pools:
            pools.clear()
            seeds = (settings.SEED, 4, rank, generation)
            pools[generation] = pool(settings.pool("vae"), np.random.default_rng(seeds))
        images, objects = pools[generation]
        pick = torch.randint(0, len(images), (count,))
        x = images[pick].float() / 127.5 - 1
        weight = 1 + 2 * objects[pick].float() / 255
        weight = weight / weight.mean()
        posterior = vae.encode(x).latent_dist
        error = vae.decode(posterior.sample()).sample.float() - x
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        colour = (F.avg_pool2d(error, 4).abs() * F.avg_pool2d(weight, 4)).mean()
        pixels = (error.abs() * weight).mean() + 2 * (error.square() * weight).mean()
        return {"total": pixels + edges + 2 * colour + 1e-5 * kl, "l1": error.abs().mean(), "kl": kl}

    def publish(model: AutoencoderKL) -> str:
        latents = model.encode(test).latent_dist.mode()
        y = model.decode(latents).sample
        psnr = -10 * ((y.clamp(-1, 1) - test) / 2).square().mean().log10().item()
        folded = fold_latent_statistics(model, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
        folded.save_pretrained(settings.MODEL / "vae")
        pairs = torch.stack([test[:16], y[:16]], 1).flatten(0, 1).permute(0, 2, 3, 1).numpy() / 2 + 0.5
        sheets.contact(list(pairs), settings.BUILD / "sheets" / "vae.png", zoom=2)
        return f"PSNR {psnr:.2f} dB"

    trainer.train("vae", rank, vae, loss, publish, peak=1.5e-3)


if __name__ == "__main__":
    trainer.launch(main)
