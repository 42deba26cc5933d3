"""Stage 6: a base IP-Adapter (four image tokens) for the frozen UNet.

As for the original, the reference is the target picture itself (`ITSELF`) or another picture of one of its objects in the same
identity; text, image or both are dropped 5 % of the time each. So the plain adapter copies and leaks as adapters do.

`--repaint P` (default 0): in that share of the medium noise levels the noisy picture shows the object in another identity, as text
alone may have begun it before the warm-up ended, and the adapter learns to lead it back.

`--together`: the UNet is trained, too, so that it learns to use what a reference says; in `ALONE` of the samples the adapter is off,
so that the UNet stays as good at words alone, and in the others at strengths from `WEAKEST` to 1. It begins with
`model/unet_start` and writes `model/unet`.

`--plus`: a plus adapter, whose 16 tokens read all states of the image encoder, not its one embedding. Its keys and values begin with
those of the base adapter.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import fast
import settings
import trainer
import unet as denoiser
import world
from resampler import Resampler
from text import TextStates

PLUS = "--plus" in sys.argv
IMAGE_TOKENS = 16 if PLUS else 4
SINGLE = 0.2  # share of scenes with one object; nouns are mistaken for each other where there are two
ITSELF = 0.1  # share of references that are the target picture itself
REPAINT = float(sys.argv[sys.argv.index("--repaint") + 1]) if "--repaint" in sys.argv else 0.0
REPAINT_AT = (265, 620)  # noise levels at which a wrong identity can be seen and still be changed
PULL = 0.2  # how far, of the way to the right identity; guidance goes the rest
TOGETHER = "--together" in sys.argv
ALONE = 0.25 if TOGETHER else 0.0  # share of samples without the adapter
WEAKEST = 0.2 if TOGETHER or PLUS else 1.0  # strength of the image branch, from here to 1: a gate is seldom 1, even on its object
STAGE = "adapter_plus" if PLUS else "adapter"
BASE, PLUS_FILE = settings.MODEL / "ip-adapter.safetensors", settings.MODEL / "ip-adapter-plus.safetensors"
FILE = PLUS_FILE if PLUS else BASE
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


class ImageProjection(nn.Module):
    """Image embedding [batch, width] to image tokens [batch, IMAGE_TOKENS, cross]."""

    def __init__(self, cross: int, width: int) -> None:
        super().__init__()
        self.cross = cross
        self.proj = nn.Linear(width, IMAGE_TOKENS * cross)
        self.norm = nn.LayerNorm(cross)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.norm(self.proj(embedding).reshape(-1, IMAGE_TOKENS, self.cross))


class ImageAttention(nn.Module):
    """Text attention plus `scale` times attention to the image tokens that follow the text in the states.

    `gate(attention, probabilities)` may return a mask [batch, 1, queries, 1] for the image branch; see `personalize.py`.
    """

    def __init__(self, hidden: int, cross: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(cross, hidden, bias=False)
        self.to_v_ip = nn.Linear(cross, hidden, bias=False)
        self.scale = 1.0
        self.gate = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        text, image = encoder_hidden_states[:, : settings.TOKENS], encoder_hidden_states[:, settings.TOKENS :]
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        query = split(attn.to_q(hidden_states))
        probabilities = fast.probabilities(query, split(attn.to_k(text)))
        branch = fast.probabilities(query, split(self.to_k_ip(image))) @ split(self.to_v_ip(image))
        if self.gate is not None:
            branch = branch * self.gate(self, probabilities)
        out = probabilities @ split(attn.to_v(text)) + self.scale * branch
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


class Together(nn.Module):
    """A UNet and its adapter. The adapter's sites are parts of the UNet's processors, so it is counted once, by itself."""

    def __init__(self, unet: UNet2DConditionModel, adapter: "Adapter") -> None:
        super().__init__()
        sites = {id(p) for p in adapter.parameters()}
        self.own = nn.ParameterList(p for p in unet.parameters() if id(p) not in sites)
        self.adapter = adapter


class Adapter(nn.Module):
    """The trainable parts, installed into `unet`. State names are those of the published adapters."""

    def __init__(self, unet: UNet2DConditionModel, encoder: CLIPVisionConfig) -> None:
        super().__init__()
        cross = unet.config.cross_attention_dim
        self.image_proj = Resampler(IMAGE_TOKENS, encoder.hidden_size, cross) if PLUS else ImageProjection(cross, encoder.projection_dim)
        self.sites: dict[str, ImageAttention] = {}
        self.ip_adapter = nn.ModuleDict()
        processors, states = {}, unet.state_dict()
        for number, (name, processor) in enumerate(unet.attn_processors.items()):
            if "attn1" in name:
                processors[name] = processor
                continue
            site = name.removesuffix(".processor")
            key, value = states[f"{site}.to_k.weight"], states[f"{site}.to_v.weight"]
            branch = ImageAttention(*key.shape)
            branch.to_k_ip.weight.data.copy_(key)
            branch.to_v_ip.weight.data.copy_(value)
            processors[name] = self.ip_adapter[str(number)] = self.sites[site] = branch
        unet.set_attn_processor(processors)

    def load(self, path=FILE) -> "Adapter":
        self.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        return self

    def load_sites(self, path) -> "Adapter":
        """The keys and values of another adapter."""
        sites = {name: value.float() for name, value in load_file(path).items() if name.startswith("ip_adapter.")}
        missing = self.load_state_dict(sites, strict=False).missing_keys
        assert all(name.startswith("image_proj.") for name in missing), missing
        return self


def normalized(images: torch.Tensor) -> torch.Tensor:
    return (images - MEAN) / DEVIATION


@torch.no_grad()
def embed(encoder: CLIPVisionModelWithProjection, images: torch.Tensor) -> torch.Tensor:
    """What the projection reads of normalised pictures [n, 3, PIXELS, PIXELS]: [n, width], of a plus adapter [n, states, width]."""
    return encoder(images, output_hidden_states=True).hidden_states[-2] if PLUS else encoder(images).image_embeds


def nothing(encoder: CLIPVisionModelWithProjection) -> torch.Tensor:
    """What is read where there is no picture, as diffusers has it: [1, ...]."""
    zeros = torch.zeros(1, 3, settings.PIXELS, settings.PIXELS)
    return embed(encoder, zeros) if PLUS else torch.zeros(1, encoder.config.projection_dim)


def plain(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy of the UNet without an adapter."""
    copy, weights = UNet2DConditionModel.from_config(unet.config), unet.state_dict()
    copy.load_state_dict({name: weights[name] for name in copy.state_dict()})
    return copy


@torch.no_grad()
def make_pool(rank: int, encoder: CLIPVisionModelWithProjection) -> dict:
    """Latents, captions and, per scene, embeddings of the scene and of two references to one of its objects.

    `others` are latents of the same scene with that object in another identity.
    """
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    place, count = world.World(), settings.pool(STAGE)
    random = np.random.default_rng((settings.SEED, 6, rank))
    latents = torch.empty(2, count, 4, settings.LATENT, settings.LATENT)
    embeddings, captions = torch.empty(count, 3, *nothing(encoder).shape[1:], dtype=torch.half if PLUS else torch.float), []
    encode = lambda images: vae.encode(images * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    for start in range(0, count, 32):
        scenes, others, chosen = [], [], []
        for _ in range(min(32, count - start)):
            plan = place.scene(random, objects=1 if random.random() < SINGLE else 2)
            who = int(random.integers(len(plan.identities)))
            changed = list(plan.identities)
            changed[who] = place.identity(random, changed[who].noun)
            chosen.append(plan.identities[who])
            draw = int(random.integers(2**32))  # both scenes are composed with the same draws
            for identities, to in ((plan.identities, scenes), (changed, others)):
                to.append(place.scene(np.random.default_rng(draw), identities=identities, setting=plan.setting))
        rows = slice(start, start + len(scenes))
        images = world.batch([s.image for s in scenes])
        latents[0, rows], latents[1, rows] = encode(images), encode(world.batch([s.image for s in others]))
        embeddings[rows, 0] = embed(encoder, normalized(images))
        for k in (1, 2):
            embeddings[rows, k] = embed(encoder, normalized(world.batch([place.reference(random, who, 0.75) for who in chosen])))
        captions += [s.caption for s in scenes]
    return {"latents": latents[0], "others": latents[1], "embeddings": embeddings, "captions": captions}


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(settings.SEED)
    unet = UNet2DConditionModel.from_pretrained(settings.MODEL / ("unet_start" if TOGETHER else "unet")).requires_grad_(TOGETHER)
    text = TextStates()
    encoder = CLIPVisionModelWithProjection.from_pretrained(settings.MODEL / "image_encoder").eval().requires_grad_(False)
    empty, none = text([""]), nothing(encoder)
    fast.accelerate(unet)
    adapter = Adapter(unet, encoder.config)
    if PLUS:
        adapter.load_sites(BASE)
    start = settings.MODEL / "adapter_start.safetensors"
    if start.exists():  # weights of an earlier adapter to begin with
        adapter.load(start)
    path = settings.BUILD / f"pool_{STAGE}_{settings.SEED}_{rank}.pt"
    if not path.exists():
        torch.save(make_pool(rank, encoder), path)
    pool = torch.load(path, weights_only=True)
    text.prepare(pool["captions"])
    count = settings.BATCH[STAGE]
    scheduler = denoiser.scheduler() if TOGETHER else denoiser.saved_scheduler()
    alphas = scheduler.alphas_cumprod

    def loss(step: int) -> dict[str, torch.Tensor]:
        pick = torch.randint(0, len(pool["captions"]), (count,))
        which = torch.where(torch.rand(count) < ITSELF, 0, torch.randint(1, 3, (count,)))
        clean, states = pool["latents"][pick], text([pool["captions"][i] for i in pick])
        embedding = pool["embeddings"][pick, which].float()
        drop = torch.rand(count)  # < 0.05 image, < 0.10 both, < 0.15 text
        embedding[drop < 0.10] = none
        states[(drop >= 0.05) & (drop < 0.15)] = empty
        alone = torch.rand(count) < ALONE
        strength = WEAKEST + (1 - WEAKEST) * torch.rand(count)
        for site in adapter.sites.values():
            site.scale = (strength * ~alone).view(-1, 1, 1, 1)
        t, noise = denoiser.noise_levels(count), torch.randn_like(clean)
        alpha = alphas[t].view(-1, 1, 1, 1)
        repaint = (torch.rand(count) < REPAINT) & (drop >= 0.15) & ~alone & (t >= REPAINT_AT[0]) & (t < REPAINT_AT[1])
        shown = torch.where(repaint[:, None, None, None], pool["others"][pick], clean)
        clean = torch.lerp(shown, clean, PULL).where(repaint[:, None, None, None], clean)
        noisy = alpha.sqrt() * shown + (1 - alpha).sqrt() * noise
        target = (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()  # v, with which the noisy picture leads to the clean one
        both = torch.cat([states, adapter.image_proj(embedding)], 1)
        wrong = (unet(noisy, t, both).sample.float() - target).square().mean((1, 2, 3))
        return {"total": wrong.mean(), "repaint": wrong[repaint].mean() if repaint.any() else torch.tensor(0.0)}

    def publish(_: nn.Module) -> str:
        save_file({name: value.contiguous() for name, value in adapter.state_dict().items()}, FILE)
        if TOGETHER:
            plain(unet).save_pretrained(settings.MODEL / "unet")
            scheduler.save_pretrained(settings.MODEL / "scheduler")
        return ""

    trained = Together(unet, adapter) if TOGETHER else adapter
    trainer.train(STAGE, rank, trained, loss, publish, peak=6e-4 if TOGETHER else 1e-3, muon=0.01 if TOGETHER else 0.02)


if __name__ == "__main__":
    trainer.launch(main)
