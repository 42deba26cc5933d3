"""Stage 9: numbers and sheets for the model card, written to `evaluation.json` and `sheets/`.

* oracle: what the segmenter finds on real scenes, the upper end of everything it is asked below;
* nouns: held-out pairs in held-out settings, text only, four seeds each;
* auc: on real scenes noised to four levels, the ROC-AUC of every text-attention map of a noun for its object, against everything
  else and against the other object only;
* edits: real scenes noised as SD's schedule does at t = 721 and denoised with a reference of another identity of one object; the
  change inside the object, inside the other object and elsewhere, for the plain and for the gated adapter;
* personal: free generation with a reference: likeness of the concept (CP) and of the other object (leak) to the reference;
* defaults: the same at the defaults of the library, four seeds each, and how often the judge of `identity.py` finds the reference's
  identity among eight on the concept and on the other object;
* `first_pictures.png`: nine of these prompts with seeds 0 to 3, at the defaults, too.

With `--plus` the plus adapter is asked the last of the tables, which is then written to `evaluation_plus.json`.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0

import identity
import metrics
import segmenter
import settings
import sheets
import unet as denoiser
import world
from adapter import PLUS
from personalize import Personalizer

NOISE_LEVELS = (300, 500, 700, 900)  # of SD's schedule
METHODS = [("text", 0.0, False)] + [(m, s, m == "gated") for m in ("plain", "gated") for s in (0.6, 1.0, 1.5)]
DEFAULTS = [m for m in METHODS if m[1] in (0.0, 1.0)]  # what the library does unasked, with the next line
UNASKED = {"steps": 50, "warmup": 0.2}
CHUNK = 25  # pictures sampled together


def held_out_prompts(random: np.random.Generator, count: int) -> list[tuple[str, list[str]]]:
    """Prompts with two nouns in a setting that never occurred together in training."""
    prompts = []
    while len(prompts) < count:
        nouns = [world.NOUNS[i] for i in random.choice(len(world.NOUNS), 2, replace=False)]
        setting, _, phrase = world.setting_phrase(random)
        if world.is_held_out(nouns, setting):
            prompts.append((" and ".join(map(world.article, nouns)) + " " + phrase, nouns))
    return prompts


def in_chunks(sample, count: int) -> torch.Tensor:
    return torch.cat([sample(slice(start, start + CHUNK)) for start in range(0, count, CHUNK)])


def real_scenes(oracle: segmenter.Segmenter, place: world.World, count: int) -> dict:
    random = np.random.default_rng(404)
    scenes = [place.scene(random, objects=2) for _ in range(count)]
    pictures = world.batch([s.image for s in scenes])
    labels, _ = segmenter.areas(oracle, pictures)
    right = []
    for scene, found in zip(scenes, labels):
        for who, mask in zip(scene.identities, scene.masks):
            right.append((found == 1 + world.NOUNS.index(who.noun))[torch.from_numpy(mask > 0.5)].float().mean())
    found = metrics.presence(oracle, pictures, [[i.noun for i in s.identities] for s in scenes])
    return found | {"pixels": metrics.mean(torch.stack(right))}


def nouns(model: Personalizer, oracle: segmenter.Segmenter, count: int, seeds: int) -> dict:
    prompts = held_out_prompts(np.random.default_rng(404), count)
    prompts = [p for p in prompts for _ in range(seeds)]
    nothing = torch.zeros(len(prompts), model.encoder.config.projection_dim)

    def sample(rows: slice) -> torch.Tensor:
        texts, names = [p for p, _ in prompts[rows]], [n[0] for _, n in prompts[rows]]
        return model.sample(texts, names, nothing[rows], list(range(len(prompts)))[rows], 0.0, False)

    pictures = in_chunks(sample, len(prompts))
    shown = min(12, count) * seeds
    labels = [p if k % seeds == 0 else "" for k, (p, _) in enumerate(prompts[:shown])]
    contact = pictures[:shown].permute(0, 2, 3, 1).numpy()
    sheets.contact(contact, settings.BUILD / "sheets" / "nouns.png", columns=3 * seeds, zoom=2, labels=labels)
    return metrics.presence(oracle, pictures, [n for _, n in prompts])


@torch.no_grad()
def attention_auc(model: Personalizer, place: world.World, count: int) -> dict:
    random = np.random.default_rng(101)
    scenes = [place.scene(random, objects=2) for _ in range(count)]
    clean = model.vae.encode(world.batch([s.image for s in scenes]) * 2 - 1).latent_dist.mode()
    clean = clean * model.vae.config.scaling_factor
    states, store = model.text([s.caption for s in scenes]), []
    processors = model.unet.attn_processors
    kept = {n: denoiser.KeepProbabilities(store) if "attn2" in n else AttnProcessor2_0() for n in processors}
    model.unet.set_attn_processor(dict(kept))
    order = {"down": 0, "mid_": 1, "up_b": 2}  # of execution
    names = sorted((n for n in kept if "attn2" in n), key=lambda n: order[n[:4]])
    table = {}
    for level in NOISE_LEVELS:
        t = denoiser.as_noisy(model.scheduler, level)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(level))
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
                        rest.append(metrics.roc_auc(scores, own))
                        other.append(metrics.roc_auc(scores[own | its], own[own | its]))
            entry = table.setdefault(name.removesuffix(".processor"), {})
            entry[level] = [round(float(np.mean(rest)), 3), round(float(np.mean(other)), 3)]
    model.unet.set_attn_processor(dict(processors))
    return table


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
    embeddings = model.read(world.batch(references))
    with torch.no_grad():
        clean = model.vae.encode(world.batch([s.image for s in scenes]) * 2 - 1).latent_dist.mode()
    clean = clean * model.vae.config.scaling_factor
    steps = 25
    model.scheduler.set_timesteps(steps)
    first = int((model.scheduler.timesteps > denoiser.as_noisy(model.scheduler, 721)).sum())
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
        inside = lambda mask: round(((change * mask).sum() / mask.sum()).item(), 4)
        rows.append({
            "method": method, "scale": scale, "concept": inside(own), "other": inside(other),
            "elsewhere": inside(1 - (own + other).clamp(max=1)),
            "tint of concept": metrics.mean(metrics.colour_of(pictures, own, tints)),
            "tint of other": metrics.mean(metrics.colour_of(pictures, other, tints)),
        })
    return rows


def wishes(random: np.random.Generator, place: world.World, count: int) -> tuple[list, list[world.Identity], torch.Tensor]:
    """Held-out prompts with their nouns, a tinted identity for the first noun of each, and a picture of it. [count, 3, SIZE, SIZE]"""
    prompts = held_out_prompts(random, count)
    tints = [world.TINT_NAMES[1 + random.integers(3)] for _ in prompts]
    people, references = [], []
    for (_, names), tint in zip(prompts, tints):
        people.append(world.Identity(names[0], place.sprites[names[0]][random.integers(len(place.sprites[names[0]]))], tint))
        references.append(place.reference(random, people[-1], 1.0))
    return prompts, people, world.batch(references)


def personal(
    model: Personalizer,
    place: world.World,
    oracle: segmenter.Segmenter,
    judge: identity.Judge,
    count: int,
    seeds: int = 1,
    methods: list = METHODS,
    sheet: str = "personal",
    **how,
) -> list[dict]:
    """Free generation of held-out pairs with a tinted reference for the first noun; intervals over prompts.

    `how` goes to `Personalizer.sample`. The sheet shows the first seed of the first twelve prompts.
    """
    random = np.random.default_rng(303)
    prompts, people, references = wishes(random, place, count)
    tints = [who.tint for who in people]
    asked = identity.questions(random, [identity.kind_of(place, who) for who in people])
    again = lambda rows: rows.repeat_interleave(seeds, 0)  # one row per picture
    read, embeddings, asked = again(model.read(references)), again(model.embed(references)), again(asked)
    index = again(torch.tensor([[world.NOUNS.index(n) for n in names] for _, names in prompts]))
    prompts, tints = ([x for x in rows for _ in range(seeds)] for rows in (prompts, tints))
    of_prompt = lambda scores: metrics.mean(scores.unflatten(0, (count, seeds)).nanmean(1))
    rows, base, shown, labels = [], None, [references[:12]], ["reference"]
    for method, scale, gated in methods:

        def sample(part: slice) -> torch.Tensor:
            texts, names = [p for p, _ in prompts[part]], [n[0] for _, n in prompts[part]]
            return model.sample(texts, names, read[part], list(range(len(prompts)))[part], scale, gated, **how)

        pictures = in_chunks(sample, len(prompts))
        found, counts = segmenter.areas(oracle, pictures)
        concept, other = (found == 1 + index[:, k, None, None] for k in (0, 1))
        seen = counts.gather(1, index) >= metrics.FOUND
        where_seen = lambda scores, k: of_prompt(torch.where(seen[:, k], scores, torch.nan))
        kept = metrics.likeness(model.embed, pictures, concept, embeddings)
        leaked = metrics.likeness(model.embed, pictures, other, embeddings)
        base = kept if base is None else base
        rows.append({
            "method": method, "scale": scale, "n": len(prompts),
            "concept found": of_prompt(seen[:, 0].float()), "other found": of_prompt(seen[:, 1].float()),
            "both found": of_prompt(seen.all(1).float()),
            "identity": of_prompt(identity.recognised(judge, pictures, concept, index[:, 0], asked)),
            "identity on other": where_seen(identity.recognised(judge, pictures, other, index[:, 1], asked), 1),
            "CP": of_prompt(kept), "CP over text only": of_prompt(kept - base),
            "leak": where_seen(leaked, 1),
            "tint of concept": where_seen(metrics.colour_of(pictures, concept, tints), 0),
            "tint of other": where_seen(metrics.colour_of(pictures, other, tints), 1),
        })
        if scale in (0.0, 1.0, 1.5):
            shown.append(pictures[: 12 * seeds : seeds])
            labels.append(f"{method} {scale}" if scale else method)
    columns = len(shown[0])
    grid = torch.cat(shown).permute(0, 2, 3, 1).numpy()
    labels = [text for label in labels for text in [label] + [""] * (columns - 1)]
    sheets.contact(grid, settings.BUILD / "sheets" / f"{sheet}.png", columns=columns, zoom=2, labels=labels)
    return rows


def first_pictures(model: Personalizer, place: world.World, count: int = 9, seeds: int = 4) -> None:
    """What a person sees first: `count` prompts that nobody chose, seeds 0 to `seeds` - 1, everything else the defaults of the library."""
    prompts, _, references = wishes(np.random.default_rng(303), place, count)
    texts, names = ([x for x in row for _ in range(seeds)] for row in ([p for p, _ in prompts], [n[0] for _, n in prompts]))
    embeddings, numbers = model.read(references).repeat_interleave(seeds, 0), list(range(seeds)) * count
    columns = [references[:, None]]
    for _, scale, gated in DEFAULTS:
        pictures = model.sample(texts, names, embeddings, numbers, scale, gated, **UNASKED)
        columns.append(pictures.unflatten(0, (count, seeds)))
    grid = torch.cat(columns, 1)
    blank = [""] * (seeds - 1)
    labels = [t for text, _ in prompts for t in ("reference", text, *blank, "plain", *blank, "Conceptrol", *blank)]
    sheet = settings.BUILD / "sheets" / "first_pictures.png"
    sheets.contact(grid.flatten(0, 1).permute(0, 2, 3, 1).numpy(), sheet, columns=grid.shape[1], zoom=2, labels=labels)


def main() -> None:
    torch.set_num_threads(settings.PROCESSES)
    model, place, oracle, judge = Personalizer(), world.World(), segmenter.load(), identity.load()
    few = settings.QUICK or "--few" in sys.argv
    defaults = lambda sheet: personal(model, place, oracle, judge, 8 if few else 100, 1 if few else 4, DEFAULTS, sheet, **UNASKED)
    if PLUS:
        write("evaluation_plus.json", {"defaults": defaults("defaults_plus")})
        return
    first_pictures(model, place, 2 if few else 9)
    result = {
        "oracle": real_scenes(oracle, place, 16 if few else 400),
        "nouns": nouns(model, oracle, 12 if few else 100, 2 if few else 4),
        "auc": attention_auc(model, place, 8 if few else 100),
        "edits": edits(model, place, 8 if few else 64),
        "personal": personal(model, place, oracle, judge, 8 if few else 100),
        "judge": identity.accuracy(judge, oracle, model.vae, place, 16 if few else 400),
        "defaults": defaults("defaults"),
    }
    write("evaluation.json", result)


def write(file: str, result: dict) -> None:
    text = json.dumps(result, indent=1)
    (settings.BUILD / file).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
