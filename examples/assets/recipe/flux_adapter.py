"""Stage 16: a low-rank adapter for reference pictures as tokens of the sequence, in the format of OminiControl's.

A reference's tokens pass the frozen transformer as a third stream beside text and picture, at time 0; only they see the low-rank
changes. They lie right of the picture.

`--together`: T5 encoder and transformer are trained, too. Half of the samples have no reference: half of these are scenes without
guidance, half are what the model itself predicts in two passes, mixed, so that guidance stays an input. With `--ground W` the map
of the last double block is pulled to the objects, with and without a reference. References act at strengths from `WEAKEST` to 1.
Weights to begin with are those in `flux/`.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import nn

import fast
import flux
import settings
import sheets
import trainer
import unet as denoiser
import world
from flux_guidance import GROUND, GUIDANCE, strengths

FILE = settings.BUILD / "flux" / "omini.safetensors"
RANK = 32
TOGETHER = "--together" in sys.argv
WEAKEST = 0.2 if TOGETHER else 1.0  # strength of the reference for the picture, from here to 1: a gate is seldom 1, even on its object
BESIDE = flux.grid_positions(columns_before=flux.SIDE)
SHOWN = [("a cat and a car on the beach", "cat", "fluent-flat", "green"), ("an elephant and a house on the grass", "elephant", "noto", "purple"),
         ("a penguin and a house in the snow", "house", "fluent-flat", "blue"), ("an apple and a rocket on the beach", "rocket", "noto", "green")]


def targets(transformer: nn.Module) -> dict[str, nn.Linear]:
    """The layers that change: those of OminiControl's subject adapters."""
    double = ("norm1.linear", "attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.net.2")
    single = ("norm.linear", "proj_mlp", "proj_out", "attn.to_q", "attn.to_k", "attn.to_v")
    names = ["x_embedder"]
    names += [f"transformer_blocks.{i}.{name}" for i in range(len(transformer.transformer_blocks)) for name in double]
    names += [f"single_transformer_blocks.{i}.{name}" for i in range(len(transformer.single_transformer_blocks)) for name in single]
    return {name: transformer.get_submodule(name) for name in names}


class Omini(nn.Module):
    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.layers = targets(transformer)
        down = {self.key(name): nn.Parameter(torch.randn(RANK, layer.in_features) * layer.in_features**-0.5) for name, layer in self.layers.items()}
        self.down = nn.ParameterDict(down)
        self.up = nn.ParameterDict({self.key(name): nn.Parameter(torch.zeros(layer.out_features, RANK)) for name, layer in self.layers.items()})
        self._names = {id(layer): self.key(name) for name, layer in self.layers.items()}

    @staticmethod
    def key(name: str) -> str:
        return name.replace(".", "/")

    def __call__(self, layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        key = self._names.get(id(layer))
        return layer(x) if key is None else layer(x) + F.linear(F.linear(x, self.down[key]), self.up[key])

    def tensors(self) -> dict[str, torch.Tensor]:
        named = {}
        for name in self.layers:
            named[f"transformer.{name}.lora_A.weight"] = self.down[self.key(name)].detach().contiguous()
            named[f"transformer.{name}.lora_B.weight"] = self.up[self.key(name)].detach().contiguous()
        return named

    @torch.no_grad()
    def load(self, file) -> None:
        tensors = load_file(file)
        for name in self.layers:
            self.down[self.key(name)].copy_(tensors[f"transformer.{name}.lora_A.weight"])
            self.up[self.key(name)].copy_(tensors[f"transformer.{name}.lora_B.weight"])


def plain(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return layer(x)


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


class Conditioned:
    """The transformer with a third stream: [text, picture, reference]."""

    def __init__(self, model: flux.Flux, omini: Omini) -> None:
        self.transformer, self.omini = model.transformer, omini
        ids = torch.cat([torch.zeros(flux.TOKENS, 3), flux.grid_positions(), BESIDE])
        self.rotary = self.transformer.pos_embed(ids)
        self.store: list[torch.Tensor] = []  # as that of `flux.JointAttention`, of the last double block of the last call
        self.lengths = [flux.TOKENS, flux.SIDE**2, flux.SIDE**2]

    def __call__(self, packed, reference, sigma, states, pooled, guidance, bias=None, at_reference=None):
        """packed and reference [n, tokens, 16] -> velocity; `bias` is added to the logits of attention, `at_reference` is the guidance that
        the reference's stream is told, if another."""
        t, omini = self.transformer, self.omini
        when = t.time_text_embed(sigma * 1000, guidance * 1000, pooled)
        at_reference = guidance if at_reference is None else at_reference
        of_reference = t.time_text_embed(torch.zeros_like(sigma), at_reference * 1000, pooled)
        streams = [t.context_embedder(states), t.x_embedder(packed), omini(t.x_embedder, reference)]
        moments = [when, when, of_reference]
        applied = [plain, plain, omini]
        self.store.clear()
        for block in t.transformer_blocks:
            streams = self._double(block, streams, moments, applied, bias, block is t.transformer_blocks[-1])
        for block in t.single_transformer_blocks:
            streams = self._single(block, streams, moments, applied, bias)
        return t.proj_out(t.norm_out(streams[1], when))

    def _attend(self, q, k, v, bias, keep=False):
        cos, sin = (part.to(q[0].dtype) for part in self.rotary)
        query, key = flux.rotate(torch.cat(q, 2), cos, sin), flux.rotate(torch.cat(k, 2), cos, sin)
        if keep:
            text, picture, _ = self.lengths
            self.store.append(fast.probabilities(query[:, :, text : text + picture], key[:, :, :text]).mean(1))
        out = fast.probabilities(query, key, bias) @ torch.cat(v, 2)
        return out.transpose(1, 2).flatten(2).split(self.lengths, 1)

    def _double(self, block, streams, moments, applied, bias, keep):
        attn = block.attn
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        norms = [block.norm1_context.linear, block.norm1.linear, block.norm1.linear]
        parts = [use(layer, F.silu(when)).chunk(6, -1) for use, layer, when in zip(applied, norms, moments)]
        inputs = [modulated(x, p[0], p[1]) for x, p in zip(streams, parts)]
        layers = [(attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)] + [(attn.to_q, attn.to_k, attn.to_v)] * 2
        rms = [(attn.norm_added_q, attn.norm_added_k)] + [(attn.norm_q, attn.norm_k)] * 2
        q = [flux.normalized(heads(use(l[0], x)), n[0]) for use, l, x, n in zip(applied, layers, inputs, rms)]
        k = [flux.normalized(heads(use(l[1], x)), n[1]) for use, l, x, n in zip(applied, layers, inputs, rms)]
        v = [heads(use(l[2], x)) for use, l, x in zip(applied, layers, inputs)]
        outs = self._attend(q, k, v, bias, keep)
        last = [attn.to_add_out, attn.to_out[0], attn.to_out[0]]
        feeds = [block.ff_context, block.ff, block.ff]
        result = []
        for use, x, out, p, layer, ff in zip(applied, streams, outs, parts, last, feeds):
            x = x + p[2][:, None] * use(layer, out)
            hidden = ff.net[0](modulated(x, p[3], p[4]))
            result.append(x + p[5][:, None] * use(ff.net[2], hidden))
        return result

    def _single(self, block, streams, moments, applied, bias):
        attn = block.attn
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        parts = [use(block.norm.linear, F.silu(when)).chunk(3, -1) for use, when in zip(applied, moments)]
        inputs = [modulated(x, p[0], p[1]) for x, p in zip(streams, parts)]
        q = [flux.normalized(heads(use(attn.to_q, x)), attn.norm_q) for use, x in zip(applied, inputs)]
        k = [flux.normalized(heads(use(attn.to_k, x)), attn.norm_k) for use, x in zip(applied, inputs)]
        v = [heads(use(attn.to_v, x)) for use, x in zip(applied, inputs)]
        outs = self._attend(q, k, v, bias)
        result = []
        for use, x, y, out, p in zip(applied, streams, inputs, outs, parts):
            hidden = F.gelu(use(block.proj_mlp, y), approximate="tanh")
            result.append(x + p[2][:, None] * use(block.proj_out, torch.cat([out, hidden], -1)))
        return result


class Together(nn.Module):
    def __init__(self, model: flux.Flux, omini: Omini) -> None:
        super().__init__()
        self.model, self.omini = model, omini


@torch.no_grad()
def make_pool(rank: int, prompts: flux.Prompts) -> dict:
    """Scenes, their objects, and latents of two other pictures of the identity of one of them."""
    place, random = world.World(), np.random.default_rng((settings.SEED, 8, rank))
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    count = settings.pool("flux_adapter")
    encode = lambda images: (vae.encode(world.batch(images) * 2 - 1).latent_dist.mode() * vae.config.scaling_factor).half()
    latents, references, captions, placed = [], [], [], []
    for start in range(0, count, 32):
        scenes = [place.scene(random) for _ in range(min(32, count - start))]
        chosen = [scene.identities[int(random.integers(len(scene.identities)))] for scene in scenes]
        latents.append(encode([scene.image for scene in scenes]))
        references.append(torch.stack([encode([place.reference(random, who, 0.75) for who in chosen]) for _ in range(2)], 1))
        captions += [scene.caption for scene in scenes]
        placed += [denoiser.objects(scene, prompts) for scene in scenes]
    masks, spans = map(torch.stack, zip(*placed))
    return {"latents": torch.cat(latents), "references": torch.cat(references), "captions": captions, "masks": masks, "spans": spans}


@torch.no_grad()
def denoised(with_reference: Conditioned, model, prompts, captions, references, seed: int, steps: int, guidance: float) -> torch.Tensor:
    """Packed latents [n, 64, 16]; references [n, 64, 16]"""
    random = torch.Generator().manual_seed(seed)
    x = flux.pack(torch.randn(len(captions), 4, settings.LATENT, settings.LATENT, generator=random))
    ids, pooled = prompts(captions)
    states, levels = model.t5(ids).last_hidden_state, flux.sigmas(steps)
    ones = torch.ones(len(captions))
    for now, then in zip(levels, levels[1:]):
        x = x + (then - now) * with_reference(x, references, now * ones, states, pooled, guidance * ones).float()
    return x


def sample(with_reference: Conditioned, model, vae, prompts, captions, references, seed: int = 0, steps: int = 20, guidance: float = 3.5):
    """Pictures [n, SIZE, SIZE, 3]"""
    x = denoised(with_reference, model, prompts, captions, references, seed, steps, guidance)
    image = vae.decode(flux.unpack(x) / vae.config.scaling_factor).sample
    return ((image + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(settings.SEED)
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    prompts = flux.Prompts()
    model = flux.Flux.load(flux.FOLDER).requires_grad_(TOGETHER)
    maps: list[torch.Tensor] = []
    if TOGETHER:
        model.transformer.transformer_blocks[-1].attn.set_processor(flux.JointAttention(maps))
    omini = Omini(model.transformer)
    if FILE.exists():  # weights of an earlier adapter to begin with
        omini.load(FILE)
    with_reference = Conditioned(model, omini)
    path = settings.BUILD / f"pool_flux_adapter_{settings.SEED}_{rank}.pt"
    if not path.exists():
        torch.save(make_pool(rank, prompts), path)
    pool = torch.load(path, weights_only=True)
    prompts.prepare(pool["captions"])
    count = settings.BATCH["flux_adapter"]
    empty_ids, empty_pooled = prompts([""])
    seen = flux.TOKENS + flux.SIDE**2  # text and picture

    def noised(n: int) -> tuple[dict, dict]:
        """Scenes under noise: what the transformer is told of them, and what it should answer."""
        pick = torch.randint(0, len(pool["captions"]), (n,))
        clean = flux.pack(pool["latents"][pick].float())
        sigma, noise = flux.noise_levels(n), torch.randn_like(clean)
        ids, pooled = prompts([pool["captions"][i] for i in pick])
        told = {"packed": torch.lerp(clean, noise, sigma.view(-1, 1, 1)), "sigma": sigma, "ids": ids, "pooled": pooled}
        return told, {"velocity": noise - clean, "masks": pool["masks"][pick], "spans": pool["spans"][pick], "pick": pick}

    def drop(told: dict, dropped: torch.Tensor) -> None:
        """Takes the prompts that are `dropped` [n] away."""
        told["ids"] = torch.where(dropped[:, None], empty_ids, told["ids"])
        told["pooled"] = torch.where(dropped[:, None], empty_pooled, told["pooled"])

    def ground(given: torch.Tensor, told: dict, answer: dict, dropped: torch.Tensor) -> torch.Tensor:
        return flux.misplaced(given.float(), answer["masks"], answer["spans"], ~dropped & (told["sigma"] < flux.PLACED))

    def beside(n: int) -> dict[str, torch.Tensor]:
        """Scenes with a reference."""
        told, answer = noised(n)
        dropped = torch.rand(n) < 0.1
        drop(told, dropped)
        reference = flux.pack(pool["references"][answer["pick"], torch.randint(0, 2, (n,))].float())
        with torch.set_grad_enabled(TOGETHER):
            states = model.t5(told["ids"]).last_hidden_state
        bias = None
        if WEAKEST < 1:
            bias = torch.zeros(n, 1, seen + flux.SIDE**2, seen + flux.SIDE**2)
            bias[:, :, flux.TOKENS : seen, seen:] = (WEAKEST + (1 - WEAKEST) * torch.rand(n, 1, 1, 1)).log()
        # what is learnt is the unguided picture, but the stream of the reference will be told the guidance as well
        velocity = with_reference(told["packed"], reference, told["sigma"], states, told["pooled"], torch.ones(n), bias, strengths(n))
        terms = {"beside": (velocity.float() - answer["velocity"]).square().mean()}
        if GROUND > 0:
            terms["ground"] = ground(with_reference.store[0], told, answer, dropped)
        return terms

    def alone(n: int) -> dict[str, torch.Tensor]:
        """Scenes without a reference: the first half unguided, the second as the model itself mixes them."""
        told, answer = noised(n)
        dropped, guided = torch.rand(n) < 0.1, torch.arange(n) >= n // 2
        dropped &= ~guided
        guidance = torch.where(guided, strengths(n), 1.0)
        with torch.no_grad():
            states, empty = model.t5(told["ids"][guided]).last_hidden_state, model.t5(empty_ids).last_hidden_state
        rows = (told["packed"][guided], told["sigma"][guided], states, told["pooled"][guided])
        answer["velocity"][guided] = model.mixed(*rows, (empty, empty_pooled), guidance[guided])
        drop(told, dropped)
        maps.clear()
        wrong = (model(**told, guidance=guidance).float() - answer["velocity"]).square().mean((1, 2))
        terms = {"alone": wrong[~guided].mean(), "guided": wrong[guided].mean()}
        if GROUND > 0:
            terms["ground"] = ground(maps[0], told, answer, dropped)
        return terms

    def loss(step: int) -> dict[str, torch.Tensor]:
        terms = beside(count // 2 if TOGETHER else count)
        if not TOGETHER:
            return {"total": terms["beside"]}
        other = alone(count - count // 2)
        terms |= {name: value + terms.get(name, 0) for name, value in other.items()}
        return {"total": terms["beside"] + terms["alone"] / 2 + terms["guided"] / 2 + GROUND * terms.get("ground", 0), **terms}

    @torch.no_grad()
    def publish(_: nn.Module) -> str:
        save_file(omini.tensors(), FILE)
        if TOGETHER:
            model.save(flux.FOLDER)
            alone = flux.sample(model, vae, prompts, denoiser.PROMPTS, mixing=1.0, guidance=GUIDANCE)
            sheets.contact(alone, settings.BUILD / "sheets" / "flux_together.png", columns=4, labels=denoiser.PROMPTS)
            maps.clear()
        place, random = world.World(), np.random.default_rng(1)
        pictures, labels = [], []
        images = [place.reference(random, place.find(*who), 1.0) for _, *who in SHOWN]
        references = flux.pack(vae.encode(world.batch(images) * 2 - 1).latent_dist.mode() * vae.config.scaling_factor)
        for seed in range(3):
            pictures.append(sample(with_reference, model, vae, prompts, [caption for caption, *_ in SHOWN], references, seed))
        for k, (caption, *_) in enumerate(SHOWN):
            labels += [caption, "", "", ""]
        rows = [picture for k in range(len(SHOWN)) for picture in [images[k], *(p[k] for p in pictures)]]
        sheets.contact(rows, settings.BUILD / "sheets" / "flux_adapter.png", columns=4, labels=labels)
        return ""

    trained = Together(model, omini) if TOGETHER else omini
    trainer.train("flux_adapter", rank, trained, loss, publish, peak=6e-4 if TOGETHER else 1e-3, muon=0.01, average=0.99 if TOGETHER else 0.998)


if __name__ == "__main__":
    trainer.launch(main)
