"""Sampling with the adapter, plain or gated by the concept's own attention. Used for sheets and for the evaluation.

`python personalize.py --prompt "..." --concept elephant --reference ../tiny-sd/references/purple_elephant.png` writes a sheet that
compares text only, the plain adapter and the gated one.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

import settings
import sheets
import world
from adapter import FILE, Adapter, embed, normalized, nothing
from text import TextStates
from unet import saved_scheduler

CONCEPT_SITE = "up_blocks.2.attentions.0.transformer_blocks.0.attn2"


class Gate:
    """Masks of one step: made at the concept site, used by every site until the next one is made."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self.spans, self.published = spans, None

    def mask(self, probabilities: torch.Tensor) -> torch.Tensor:
        """[rows, queries] from the conditional half of [2 rows, heads, queries, tokens], largest value 1."""
        given = probabilities.chunk(2)[1]
        maps = torch.stack([row[:, :, s:e].mean((0, 2)) for row, (s, e) in zip(given, self.spans)])
        return maps / (maps.amax(1, keepdim=True) + 1e-6)

    def __call__(self, is_concept_site: bool, probabilities: torch.Tensor) -> torch.Tensor:
        if is_concept_site:
            self.published = used = self.mask(probabilities)
        elif self.published is None:
            used = self.mask(probabilities)
        else:
            side, target = (round(n**0.5) for n in (self.published.shape[1], probabilities.shape[2]))
            grid = self.published.unflatten(1, (1, side, side))
            used = torch.nn.functional.interpolate(grid, (target, target), mode="nearest").flatten(1)
        return torch.cat([used, used])[:, None, :, None]


class Personalizer:
    def __init__(self, model: Path = settings.MODEL) -> None:
        self.text = TextStates()
        self.vae = AutoencoderKL.from_pretrained(model / "vae").float().eval()
        self.unet = UNet2DConditionModel.from_pretrained(model / "unet").float().eval()
        self.encoder = CLIPVisionModelWithProjection.from_pretrained(model / "image_encoder").float().eval()
        self.processor = CLIPImageProcessor.from_pretrained(model / "feature_extractor")
        self.adapter = Adapter(self.unet, self.encoder.config)
        if (model / FILE.name).exists():
            self.adapter.load(model / FILE.name)
        self.scheduler = saved_scheduler(model / "scheduler")

    @torch.no_grad()
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """[n, 3, SIZE, SIZE] in 0..1 to [n, width]"""
        return self.encoder(normalized(images)).image_embeds

    def read(self, images: torch.Tensor) -> torch.Tensor:
        """References as `sample` takes them."""
        return embed(self.encoder, normalized(images))

    @torch.no_grad()
    def read_file(self, path: Path) -> torch.Tensor:
        pixels = self.processor(Image.open(path).convert("RGB"), return_tensors="pt").pixel_values
        return embed(self.encoder, pixels)

    @torch.no_grad()
    def sample(
        self,
        prompts: list[str],
        concepts: list[str],
        embeddings: torch.Tensor,
        seeds: list[int],
        scale: float,
        gated: bool,
        steps: int = 25,
        guidance: float = 7.5,
        start: torch.Tensor | None = None,
        first: int = 0,
        warmup: float = 0.0,
    ) -> torch.Tensor:
        """Pictures [n, 3, SIZE, SIZE]. With `start`, the noisy latents before step `first`; else fresh noise per seed. A picture's seed gives
        the noise of its steps, too.

        The reference is without effect in the first `warmup` of the steps.
        """
        states, empty = self.text(prompts), self.text([""]).expand(len(prompts), -1, -1)
        words = torch.cat([empty, states])
        images = torch.cat([nothing(self.encoder).expand_as(embeddings), embeddings])
        both = torch.cat([words, self.adapter.image_proj(images)], 1)
        gate = Gate([self.text.span(p, c) for p, c in zip(prompts, concepts)]) if gated else None
        for name, site in self.adapter.sites.items():
            site.gate = (lambda s, p, here=name == CONCEPT_SITE: gate(here, p)) if gated else None
        self.scheduler.set_timesteps(steps)
        side = settings.LATENT
        random = [torch.Generator().manual_seed(s) for s in seeds]
        noise = [torch.randn(1, 4, side, side, generator=r) for r in random]
        x = torch.cat(noise) if start is None else start
        for k, t in enumerate(self.scheduler.timesteps[first:], first):
            for site in self.adapter.sites.values():
                site.scale = scale if k >= warmup * steps else 0.0
            without, given = self.unet(torch.cat([x, x]), t, both).sample.chunk(2)
            x = self.scheduler.step(without + guidance * (given - without), t, x, generator=random).prev_sample
        decoded = self.vae.decode(x / self.vae.config.scaling_factor).sample
        return ((decoded + 1) / 2).clamp(0, 1)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--prompt", required=True)
    arguments.add_argument("--concept", required=True)
    arguments.add_argument("--reference", type=Path, required=True)
    arguments.add_argument("--seeds", type=int, default=8)
    arguments.add_argument("--scales", type=float, nargs="+", default=[0.6, 1.0, 1.5])
    arguments.add_argument("--guidance", type=float, default=7.5)
    arguments.add_argument("--out", type=Path, default=settings.BUILD / "sheets" / "personalize.png")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    model, n = Personalizer(), given.seeds
    embedding = model.read_file(given.reference).repeat_interleave(n, 0)
    rows, labels = [], []
    variants = [(0.0, False)] + [(s, g) for g in (False, True) for s in given.scales]
    for scale, gated in variants:
        pictures = model.sample(
            [given.prompt] * n, [given.concept] * n, embedding, list(range(n)), scale, gated, guidance=given.guidance
        )
        rows += list(pictures.permute(0, 2, 3, 1).numpy())
        kind = "text only" if scale == 0 else f"{'gated' if gated else 'plain'} {scale}"
        labels += [f"{kind} seed {k}" for k in range(n)]
    sheets.contact(np.stack(rows), given.out, columns=n, zoom=2, labels=labels)


if __name__ == "__main__":
    main()
