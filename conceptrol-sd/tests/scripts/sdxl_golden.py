"""Golden latents of diffusers' SDXL pipeline on the tiny model of `fixtures/sdxl`: options the authors' cases leave alone.

    python sdxl_golden.py        (torch 2.6, diffusers 0.32.2, one thread)

The tolerance is 30 times the deviation of the f32 run from an f64 run, at least 1e-5 of the largest value.
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

HERE = Path(__file__).parent.parent / "fixtures" / "sdxl"
PROMPT = "A statue is reading the book in the cafe, best quality, high quality"
CASES = {
    "options": dict(
        scheduler=(EulerDiscreteScheduler, {}), seeds=[3], prompt="a statue! in the cafe", prompt_2="the book",
        guidance_scale=6.0, guidance_rescale=0.7, clip_skip=1, num_inference_steps=5, denoising_end=0.6,
        height=64, width=96, original_size=(192, 160), crops_coords_top_left=(8, 24), target_size=(64, 96),
        negative_original_size=(64, 64), negative_crops_coords_top_left=(0, 4), negative_target_size=(96, 128),
    ),
    "two_prompts": dict(
        scheduler=(DPMSolverMultistepScheduler, dict(use_karras_sigmas=True)), seeds=[3, 4],
        prompt=[PROMPT, "the book in the cafe, a statue"], negative_prompt=["", ""],
        negative_prompt_2=["high quality", "high quality"], guidance_scale=7.5, num_inference_steps=4, height=64, width=64,
    ),
    "unguided": dict(
        scheduler=(DDIMScheduler, dict(clip_sample=False, set_alpha_to_one=False)), seeds=[5], prompt="! the book",
        guidance_scale=1.0, num_inference_steps=4, height=72, width=64,
    ),
    "ip_adapter": dict(
        scheduler=(EulerDiscreteScheduler, {}), seeds=[3], prompt=PROMPT, guidance_scale=6.0, num_inference_steps=4,
        height=64, width=96, ip_adapter_image=True,
    ),
}


def picture():
    """The picture 0 of `tiny.rs`."""
    y, x = np.mgrid[0:56, 0:40]
    channels = [(x * 3 + y * 7 * k) % 256 for k in (1, 2, 5)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def run(dtype, scheduler, seeds, ip_adapter_image=False, **options):
    torch.set_default_dtype(dtype)
    pipe = StableDiffusionXLPipeline.from_pretrained(HERE / "model", torch_dtype=dtype, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    kind, changes = scheduler
    pipe.scheduler = kind.from_config(pipe.scheduler.config, **changes)
    if ip_adapter_image:
        pipe.register_modules(
            image_encoder=CLIPVisionModelWithProjection.from_pretrained(HERE / "image_encoder", torch_dtype=dtype),
            feature_extractor=CLIPImageProcessor(),
        )
        pipe.load_ip_adapter(str(HERE), subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None)
        pipe.set_ip_adapter_scale(0.6)
        options["ip_adapter_image"] = picture()
    pipe.to(dtype)
    shape = (1, 4, options["height"] // 8, options["width"] // 8)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) for seed in seeds]
    with torch.no_grad():
        return pipe(latents=torch.cat(noise).to(dtype), output_type="latent", **options).images


def main():
    torch.set_num_threads(1)
    expected, tolerances = {}, {}
    for name, case in CASES.items():
        single, double = run(torch.float32, **case), run(torch.float64, **case)
        largest = single.abs().max().item()
        deviation = (single.double() - double).abs().max().item()
        print(f"{name} {list(single.shape)} up to {largest:.3g}, f64 differs by {deviation:.2g}")
        expected[name] = single.contiguous()
        tolerances[name] = float(f"{max(30 * deviation, 1e-5 * largest):.2g}")
    save_file(expected, HERE / "expected.safetensors")
    (HERE / "tolerances.json").write_text(json.dumps(tolerances, indent=1) + "\n")


main()
