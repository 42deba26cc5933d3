"""Stage 17: the small FLUX in half precision, in the layout of diffusers, and a proof that diffusers loads it unchanged."""

import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

import flux
import settings
from flux_adapter import FILE, Conditioned, Omini, denoised
from package import LIMIT, halved, without_paths

PACKAGE = settings.BUILD / "tiny-flux"


def write(folder: Path = PACKAGE) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model = settings.MODEL
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(flux.FOLDER / "scheduler"),
        vae=AutoencoderKL.from_pretrained(model / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        text_encoder_2=T5EncoderModel.from_pretrained(flux.FOLDER / "text_encoder_2"),
        tokenizer_2=T5TokenizerFast.from_pretrained(flux.FOLDER / "tokenizer_2"),
        transformer=FluxTransformer2DModel.from_pretrained(flux.FOLDER / "transformer"),
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    save_file(halved(load_file(FILE)), folder / FILE.name)
    without_paths(folder)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if size > LIMIT:
        raise SystemExit(f"{folder} has {size} bytes, more than {LIMIT}")
    print(f"{folder}: {size} bytes")


def sample_with_diffusers(folder: Path, prompt: str, seed: int = 0, steps: int = 20, guidance: float = 3.5, **how):
    """One picture of the stock pipeline, a PIL image unless `how` asks for something else."""
    pipeline = FluxPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt,
        num_inference_steps=steps,
        guidance_scale=guidance,
        height=settings.PIXELS,
        width=settings.PIXELS,
        max_sequence_length=flux.TOKENS,
        generator=torch.Generator().manual_seed(seed),
        **how,
    ).images[0]


@torch.no_grad()
def golden(folder: Path, references: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Latents of four steps, by the stock pipeline without a reference and by `flux_adapter` with one."""
    said = {"prompt": "an apple and a rocket on the beach", "seed": "1", "steps": "4", "guidance": "3.5"}
    prompt, seed, steps, guidance = said["prompt"], int(said["seed"]), int(said["steps"]), float(said["guidance"])
    alone = sample_with_diffusers(folder, prompt, seed, steps, guidance, output_type="latent")[None]
    part = lambda kind, name: kind.from_pretrained(folder / name, torch_dtype=torch.float32).eval()
    model = flux.Flux(part(FluxTransformer2DModel, "transformer"), part(T5EncoderModel, "text_encoder_2")).eval()
    omini, vae = Omini(model.transformer), part(AutoencoderKL, "vae")
    omini.load(folder / FILE.name)
    picture = Image.open(references / "green_rocket.png").convert("RGB").resize((settings.PIXELS, settings.PIXELS), Image.BICUBIC)
    pixels = torch.from_numpy(np.array(picture))
    posterior = vae.encode(pixels.permute(2, 0, 1)[None] / 127.5 - 1).latent_dist
    reference = flux.pack(posterior.mode() * vae.config.scaling_factor)
    prompts = flux.Prompts(folder / "tokenizer", folder / "text_encoder", folder / "tokenizer_2")
    beside = denoised(Conditioned(model, omini), model, prompts, [prompt], reference, seed, steps, guidance)
    return {"picture": pixels, "text_only": flux.unpack(alone), "with_reference": flux.unpack(beside)}, said


def main() -> None:
    write()
    tensors, said = golden(PACKAGE, settings.BUILD / "tiny-sd" / "references")
    save_file(tensors, settings.BUILD / "tiny_flux.safetensors", said)
    picture = sample_with_diffusers(PACKAGE, "an apple and a rocket on the beach", steps=4 if settings.QUICK else 20)
    picture.resize((256, 256), Image.NEAREST).save(settings.BUILD / "sheets" / "flux_diffusers.png")


if __name__ == "__main__":
    main()
