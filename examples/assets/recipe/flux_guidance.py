"""Stage 15: the guidance of the small FLUX becomes an input, as in FLUX.1-dev.

A copy of the transformer learns to predict in one pass what the trained one predicts in two, mixed with a strength that is drawn
anew for every sample (Meng et al., On Distillation of Guided Diffusion Models, 2023). `--ground W` adds a small loss that pulls what
the last double block gives to a noun towards the noun's object.
"""

import sys

import torch
from diffusers import AutoencoderKL

import flux
import settings
import sheets
import trainer
import unet as denoiser

STRENGTHS = (1.0, 6.0)
GUIDANCE = 3.5  # of the sheet
GROUND = float(sys.argv[sys.argv.index("--ground") + 1]) if "--ground" in sys.argv else 0.0


def strengths(count: int) -> torch.Tensor:
    return STRENGTHS[0] + (STRENGTHS[1] - STRENGTHS[0]) * torch.rand(count)


def main(rank: int) -> None:
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    torch.manual_seed(settings.SEED)
    prompts = flux.Prompts()
    teacher = flux.Flux.load(flux.TAUGHT).eval().requires_grad_(False)
    model = flux.Flux.load(flux.TAUGHT)
    model.t5.requires_grad_(False)
    store: list[torch.Tensor] = []
    if GROUND > 0:
        model.transformer.transformer_blocks[-1].attn.set_processor(flux.JointAttention(store))
    count, pool = settings.BATCH["flux_guidance"], denoiser.Pool(rank, prompts, vae)
    empty_ids, empty_pooled = prompts([""])
    empty = teacher.t5(empty_ids).last_hidden_state

    def loss(step: int) -> dict[str, torch.Tensor]:
        pool.grow(1 + step // denoiser.GROW_EVERY)
        pick = torch.randint(0, len(pool.captions), (count,))
        clean = flux.pack(pool.latents[pick])
        ids, pooled = prompts([pool.captions[i] for i in pick])
        sigma, noise = flux.noise_levels(count), torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1))
        guidance = strengths(count)
        with torch.no_grad():
            states = teacher.t5(ids).last_hidden_state
        target = teacher.mixed(noisy, sigma, states, pooled, (empty, empty_pooled), guidance)
        store.clear()
        wrong = model.velocity(noisy, sigma, states, pooled, guidance).float() - target
        terms = {"velocity": wrong.square().mean()}
        terms["total"] = terms["velocity"]
        if GROUND > 0:
            terms["ground"] = flux.misplaced(store[0].float(), pool.masks[pick], pool.spans[pick], sigma < flux.PLACED)
            terms["total"] = terms["velocity"] + GROUND * terms["ground"]
        return terms

    def publish(model: flux.Flux) -> str:
        model.save(flux.FOLDER)
        pictures = flux.sample(model, vae, prompts, denoiser.PROMPTS, mixing=1.0, guidance=GUIDANCE)
        sheets.contact(pictures, settings.BUILD / "sheets" / "flux_guidance.png", columns=4, labels=denoiser.PROMPTS)
        store.clear()
        return ""

    trainer.train("flux_guidance", rank, model, loss, publish, peak=5e-4, muon=0.01, average=0.99)


if __name__ == "__main__":
    trainer.launch(main)
