"""Stage 10: the trained parts in half precision, in the layout of diffusers, and a proof that diffusers loads them unchanged."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

import references
import segmenter
import settings
import world
from adapter import BASE, PLUS_FILE
from personalize import CONCEPT_SITE
from unet import saved_scheduler

PACKAGE = settings.BUILD / "tiny-sd"
LIMIT = 25_000_000  # bytes


def halved(state: dict) -> dict:
    return {name: value.half().contiguous() for name, value in state.items()}


def concept_block() -> dict:
    """The site Conceptrol reads, and why: how well the maps of every site find the objects of real scenes."""
    block = {"site": CONCEPT_SITE, "normalization": "max"}
    evidence = settings.BUILD / "evaluation.json"
    if evidence.exists():
        block["evidence"] = {
            "measure": "ROC-AUC of a noun's map for its object [against everything else, against the other object], real scenes, by "
            "noise level",
            "sites": json.loads(evidence.read_text())["auc"],
        }
    return {"concept_block": block}


def without_paths(folder: Path) -> None:
    """Configurations without the paths of the machine that trained the model."""
    for config in folder.glob("*/config.json"):
        entries = json.loads(config.read_text())
        entries.pop("_name_or_path", None)
        config.write_text(json.dumps(entries, indent=2) + "\n")


def write(folder: Path = PACKAGE) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model = settings.MODEL
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(model / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(model / "unet"),
        scheduler=saved_scheduler(),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor.from_pretrained(model / "feature_extractor"),
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(model / "image_encoder"),
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for adapter in filter(Path.exists, (BASE, PLUS_FILE)):
        save_file(halved(load_file(adapter)), folder / adapter.name)
    (folder / "segmenter").mkdir()
    save_file(halved(segmenter.load().state_dict()), folder / "segmenter" / "model.safetensors")
    describe = {"architecture": "recipe/segmenter.py", "classes": ["setting", *world.NOUNS], "image_size": world.SIZE}
    (folder / "segmenter" / "config.json").write_text(json.dumps(describe, indent=2) + "\n")
    pretty = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", json.dumps(concept_block(), indent=2))  # pairs on one line
    (folder / "conceptrol.json").write_text(pretty + "\n")
    references.write(folder / "references")
    without_paths(folder)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    if size > LIMIT:
        raise SystemExit(f"{folder} has {size} bytes, more than {LIMIT}")
    print(f"{folder}: {size} bytes")


def stock_pipeline(folder: Path, scale: float, adapter: str) -> StableDiffusionPipeline:
    """The stock pipeline with the stock adapter loader, in float32."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipeline.load_ip_adapter(folder, subfolder="", weight_name=adapter, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(scale)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample_with_diffusers(
    folder: Path, reference: Image.Image, prompt: str, seed: int = 0, steps: int = 25, scale: float = 1.0, adapter: str = BASE.name
) -> Image.Image:
    pipeline = stock_pipeline(folder, scale, adapter)
    return pipeline(
        prompt,
        ip_adapter_image=reference,
        num_inference_steps=steps,
        guidance_scale=7.5,
        height=settings.PIXELS,
        width=settings.PIXELS,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]


@torch.no_grad()
def exact_latents(folder: Path, reference: Image.Image, said: dict[str, str], scale: float = 1.0, adapter: str = BASE.name) -> torch.Tensor:
    """Latents of the stock pipeline with its UNet in float64: in float32 they differ by 5e-5 from one processor or library to another."""
    pipeline = stock_pipeline(folder, scale, adapter)
    given, empty = pipeline.encode_prompt(said["prompt"], "cpu", 1, True)
    image = pipeline.prepare_ip_adapter_image_embeds(reference, None, "cpu", 1, True)
    pipeline.text_encoder = None  # whose type states would be given back
    for module in (pipeline.unet, *pipeline.unet.attn_processors.values()):
        if isinstance(module, torch.nn.Module):
            module.double()
    random = torch.Generator().manual_seed(int(said["seed"]))
    noise = torch.randn(1, 4, settings.LATENT, settings.LATENT, generator=random)
    return pipeline(
        prompt_embeds=given.double(),
        negative_prompt_embeds=empty.double(),
        ip_adapter_image_embeds=[states.double() for states in image],
        num_inference_steps=int(said["steps"]),
        guidance_scale=float(said["guidance"]),
        height=settings.PIXELS,
        width=settings.PIXELS,
        generator=random,
        latents=noise.double(),
        output_type="latent",
    ).images[0].float()


def golden(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Exact latents of four steps: text only, and with each adapter."""
    said = {"prompt": "an apple and a rocket on the beach", "seed": "1", "steps": "4", "guidance": "7.5"}
    picture = shown(folder).resize((settings.PIXELS, settings.PIXELS), Image.BICUBIC)
    latents = lambda **how: exact_latents(folder, picture, said, **how)
    tensors = {"picture": torch.from_numpy(np.array(picture)), "text_only": latents(scale=0.0), "base": latents()}
    if (folder / PLUS_FILE.name).exists():
        tensors["plus"] = latents(adapter=PLUS_FILE.name)
    return tensors, said


def shown(folder: Path) -> Image.Image:
    return Image.open(folder / "references" / "green_rocket.png").convert("RGB")


def main() -> None:
    write()
    tensors, said = golden(PACKAGE)
    save_file(tensors, settings.BUILD / "tiny_sd.safetensors", said)
    picture = sample_with_diffusers(PACKAGE, shown(PACKAGE), "an apple and a rocket on the beach", steps=4 if settings.QUICK else 25)
    picture.resize((256, 256), Image.NEAREST).save(settings.BUILD / "sheets" / "diffusers.png")


if __name__ == "__main__":
    main()
