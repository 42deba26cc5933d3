"""Stage 8: numbers for the model card, written to `evaluation.json`.

* nouns: held-out pairs, text only; how often the oracle finds each noun, and both;
* auc: on composed scenes with known masks, noised to four levels, the ROC-AUC of every text-attention map of a noun for its
  object, against everything else and against the other object only;
* edits: real scenes noised to t ~ 750 and denoised with a reference of another identity of one object; the change inside the
  object, inside the other object and elsewhere, for the plain and for the gated adapter;
* personal: the same comparison on free generation, with the colour of the concept and of the other object.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0

import segmenter
import settings
import unet as denoiser
import world
from personalize import Personalizer

FOUND = 24  # pixels of a noun that count as present


def held_out_prompts(random: np.random.Generator, count: int) -> list[tuple[str, list[str]]]:
    """Prompts with two nouns in a setting that never occurred together in training."""
    prompts = []
    while len(prompts) < count:
        nouns = [world.NOUNS[i] for i in random.choice(len(world.NOUNS), 2, replace=False)]
        setting, _, phrase = world.setting_phrase(random)
        if world.is_held_out(nouns, setting):
            prompts.append((" and ".join(map(world.article, nouns)) + " " + phrase, nouns))
    return prompts


def presence(oracle, pictures: torch.Tensor, nouns: list[list[str]]) -> dict:
    _, counts = segmenter.areas(oracle, pictures)
    found = torch.tensor([[counts[k, world.NOUNS.index(n)] >= FOUND for n in names] for k, names in enumerate(nouns)])
    return {"n": len(nouns), "noun": found.float().mean().item(), "both": found.all(1).float().mean().item()}


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores):  # ties share their mean rank
        same = scores == value
        ranks[same] = ranks[same].mean()
    ones, zeros = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)


@torch.no_grad()
def attention_auc(model: Personalizer, place: world.World, count: int) -> dict:
    random = np.random.default_rng(101)
    scenes = [place.scene(random, objects=2) for _ in range(count)]
    clean = model.vae.encode(world.batch([s.image for s in scenes]) * 2 - 1).latent_dist.mode()
    clean = clean * model.vae.config.scaling_factor
    states, store = model.text([s.caption for s in scenes]), []
    processors, names = model.unet.attn_processors, []
    kept = {}
    for name in processors:
        kept[name] = denoiser.KeepProbabilities(store) if "attn2" in name else AttnProcessor2_0()
    model.unet.set_attn_processor(dict(kept))
    # execution order: down, mid, up
    order = {"down": 0, "mid_": 1, "up_b": 2}
    names = sorted((n for n in kept if "attn2" in n), key=lambda n: order[n[:4]])
    table = {}
    for t in (300, 500, 700, 900):
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(t))
        alpha = model.scheduler.alphas_cumprod[t]
        store.clear()
        model.unet(alpha.sqrt() * clean + (1 - alpha).sqrt() * noise, t, states)
        for name, probabilities in zip(names, store):
            side = round(probabilities.shape[1] ** 0.5)
            rest, other = [], []
            for scene, rows in zip(scenes, probabilities):
                small = F.adaptive_avg_pool2d(torch.from_numpy(scene.masks)[None], side)[0].flatten(1).numpy() > 0.3
                for k, who in enumerate(scene.identities):
                    start, end = model.text.span(scene.caption, who.noun)
                    scores = rows[:, start:end].mean(1).numpy()
                    own, its = small[k], small[1 - k] & ~small[k]
                    if own.any() and its.any():
                        rest.append(roc_auc(scores, own))
                        other.append(roc_auc(scores[own | its], own[own | its]))
            entry = table.setdefault(name.removesuffix(".processor"), {})
            entry[t] = [round(float(np.mean(rest)), 3), round(float(np.mean(other)), 3)]
    model.unet.set_attn_processor(dict(processors))
    return table


def chroma(pictures: torch.Tensor) -> torch.Tensor:
    return pictures - pictures.mean(1, keepdim=True)


def colour_of(pictures: torch.Tensor, masks: torch.Tensor, tints: list[str]) -> torch.Tensor:
    """Mean chroma below `masks` [n, SIZE, SIZE] along the chroma of each tint; 0 is grey or another hue. [n]"""
    directions = torch.tensor([world.TINTS[t] for t in tints]).float() / 255
    directions = F.normalize(directions - directions.mean(1, keepdim=True), dim=1)
    along = (chroma(pictures) * directions[:, :, None, None]).sum(1)
    return (along * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)


METHODS = [("text", 0.0, False)] + [(m, s, m == "gated") for m in ("plain", "gated") for s in (0.6, 1.0, 1.5)]


def edits(model: Personalizer, place: world.World, count: int) -> list[dict]:
    """Denoising a noised real scene with a reference that shows one of its objects in another tint."""
    random = np.random.default_rng(202)
    scenes, references, tints = [], [], []
    while len(scenes) < count:
        scene = place.scene(random, objects=2)
        tint = world.TINT_NAMES[1 + random.integers(3)]
        if tint in (i.tint for i in scene.identities):
            continue
        noun = scene.identities[0].noun
        style = place.sprites[noun][random.integers(len(place.sprites[noun]))]
        scenes.append(scene)
        tints.append(tint)
        references.append(place.reference(random, world.Identity(noun, style, tint), 1.0))
    embeddings = model.embed(world.batch(references))
    with torch.no_grad():
        clean = model.vae.encode(world.batch([s.image for s in scenes]) * 2 - 1).latent_dist.mode()
    clean = clean * model.vae.config.scaling_factor
    steps, first = 25, 6
    model.scheduler.set_timesteps(steps)
    alpha = model.scheduler.alphas_cumprod[model.scheduler.timesteps[first]]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    start = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    own = torch.from_numpy(np.stack([s.masks[0] for s in scenes]))
    other = torch.from_numpy(np.stack([s.masks[1] for s in scenes]))
    rows, base = [], None
    for method, scale, gated in METHODS:
        pictures = model.sample(
            [s.caption for s in scenes], [s.identities[0].noun for s in scenes], embeddings, [0] * count, scale, gated,
            steps=steps, start=start, first=first,
        )
        base = pictures if base is None else base
        change = (pictures - base).abs().mean(1)
        inside = lambda mask: ((change * mask).sum() / mask.sum()).item()
        rows.append({
            "method": method, "scale": scale, "concept": inside(own), "other": inside(other),
            "elsewhere": inside(1 - (own + other).clamp(max=1)),
            "tint of concept": colour_of(pictures, own, tints).mean().item(),
            "tint of other": colour_of(pictures, other, tints).mean().item(),
        })
    return rows


def personal(model: Personalizer, place: world.World, oracle, count: int) -> tuple[list[dict], list]:
    """Free generation of held-out pairs with a tinted reference for the first noun."""
    random = np.random.default_rng(303)
    prompts = held_out_prompts(random, count)
    tints = [world.TINT_NAMES[1 + random.integers(3)] for _ in prompts]
    pick = lambda noun: place.sprites[noun][random.integers(len(place.sprites[noun]))]
    references = [
        place.reference(random, world.Identity(nouns[0], pick(nouns[0]), tint), 1.0)
        for (_, nouns), tint in zip(prompts, tints)
    ]
    embeddings = model.embed(world.batch(references))
    rows, sheet = [], [list(references)]
    for method, scale, gated in METHODS:
        pictures = model.sample(
            [p for p, _ in prompts], [n[0] for _, n in prompts], embeddings, list(range(count)), scale, gated
        )
        sheet.append(list(pictures.permute(0, 2, 3, 1).numpy()))
        labels, counts = segmenter.areas(oracle, pictures)
        index = torch.tensor([[world.NOUNS.index(n) for n in nouns] for _, nouns in prompts])
        areas = counts.gather(1, index)
        row = {"method": method, "scale": scale, "n": count}
        for k, name in enumerate(("concept", "other")):
            seen = areas[:, k] >= FOUND
            masks = (labels == 1 + index[:, k][:, None, None]).float()
            tint = colour_of(pictures, masks, tints)[seen]
            row |= {f"{name} found": seen.float().mean().item(), f"tint of {name}": tint.mean().item(),
                    f"error of {name}": (tint.std() / max(len(tint), 1) ** 0.5).item()}
        rows.append(row)
    return rows, sheet


def main() -> None:
    torch.set_num_threads(1)
    model, place, oracle = Personalizer(), world.World(), segmenter.load()
    few = settings.QUICK or "--few" in sys.argv
    random = np.random.default_rng(404)
    real = [place.scene(random, objects=2) for _ in range(16 if few else 200)]
    result = {"real": presence(oracle, world.batch([s.image for s in real]), [[i.noun for i in s.identities] for s in real])}
    prompts = held_out_prompts(random, 12 if few else 100) * (2 if few else 4)
    pictures = []
    for start in range(0, len(prompts), 24):
        chunk = prompts[start : start + 24]
        states = model.text([p for p, _ in chunk]), model.text([""])
        for site in model.adapter.sites.values():
            site.scale, site.gate = 0.0, None
        nothing = torch.zeros(len(chunk), model.encoder.config.projection_dim)
        pictures.append(model.sample([p for p, _ in chunk], [n[0] for _, n in chunk], nothing,
                                     list(range(start, start + len(chunk))), 0.0, False))
    result["nouns"] = presence(oracle, torch.cat(pictures), [n for _, n in prompts])
    result["auc"] = attention_auc(model, place, 8 if few else 40)
    result["edits"] = edits(model, place, 8 if few else 32)
    result["personal"], _ = personal(model, place, oracle, 8 if few else 64)
    (settings.BUILD / "evaluation.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
