"""Stage 12: a second CLIP, which scores pictures: likeness to a reference and to a prompt.

The adapter reads references with the image encoder of stage 3, so that encoder is no fair judge of what the adapter makes. This one has
the same shape and sees the same world, but began with other weights and drew other scenes; it takes no part in making a picture.
`text_accuracy` and `reference_accuracy` say what its scores can tell apart, on scenes that training kept out.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPModel

import clip
import identity
import metrics
import settings
import trainer
import world
from adapter import normalized
from text import token_ids, tokenizer

FOLDER = settings.BUILD / "scorer"  # float32, layout of transformers
SEED = settings.SEED + 1000
AMONG = 40  # captions that the right one is found among


class Scorer:
    """Embeddings [n, width] of unit length."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.tokens = tokenizer()
        self.clip = CLIPModel.from_pretrained(folder).float().eval()

    @torch.no_grad()
    def pictures(self, images: list[np.ndarray] | torch.Tensor) -> torch.Tensor:
        images = images if isinstance(images, torch.Tensor) else world.batch(images)
        return F.normalize(torch.cat([self.clip.get_image_features(normalized(chunk)) for chunk in images.split(64)]), dim=1)

    @torch.no_grad()
    def captions(self, captions: list[str]) -> torch.Tensor:
        ids = token_ids(self.tokens, captions)
        return F.normalize(torch.cat([self.clip.get_text_features(chunk) for chunk in ids.split(64)]), dim=1)


def phrases_of(setting: str) -> list[str]:
    return [p.format(paint) for p in world.SETTINGS[setting] for paint in (world.PAINTS if "{}" in p else [None])]


def caption_of(nouns: list[str], phrase: str) -> str:
    return " and ".join(map(world.article, nouns)) + " " + phrase


def text_accuracy(scorer: Scorer, place: world.World, count: int) -> dict:
    """How often a scene's caption is more alike than one with another noun or another setting, how often it is the most alike of `AMONG`
    that describe different scenes, and the mean cosines. The nouns in the other order are as true and should make no difference."""
    random, images, captions, meanings = np.random.default_rng(1010), [], {"right": [], "noun": [], "setting": [], "order": []}, []
    pick = lambda choices: str(random.choice(choices))
    while len(images) < count:
        scene = place.scene(random, objects=2, held_out=True)
        phrase = next((p for p in phrases_of(scene.setting) if scene.caption.endswith(p)), None)
        if phrase is None:  # the caption leaves the setting out
            continue
        nouns = sorted((i.noun for i in scene.identities), key=scene.caption.index)
        other, k = pick([n for n in world.NOUNS if n not in nouns]), int(random.integers(2))
        images.append(scene.image)
        meanings.append((frozenset(nouns), phrase if scene.setting == "room" else scene.setting))
        captions["right"].append(caption_of(nouns, phrase))
        captions["noun"].append(caption_of([other if j == k else n for j, n in enumerate(nouns)], phrase))
        captions["setting"].append(caption_of(nouns, pick(phrases_of(pick([s for s in world.SETTINGS if s != scene.setting])))))
        captions["order"].append(caption_of(nouns[::-1], phrase))
    pictures = scorer.pictures(images)
    embedded = {name: scorer.captions(texts) for name, texts in captions.items()}
    alike = {name: (pictures * words).sum(1) for name, words in embedded.items()}
    found = []
    for k, picture in enumerate(pictures):
        others = {meanings[j]: j for j in random.permutation(count) if meanings[j] != meanings[k]}
        among = embedded["right"][[k, *list(others.values())[: AMONG - 1]]]
        found.append(float((among @ picture).argmax() == 0))
    beats = {f"beats {n}": metrics.mean((alike["right"] > alike[n]).float()) for n in ("noun", "setting", "order")}
    among = min(AMONG, len(set(meanings)))
    means = {name: metrics.mean(values) for name, values in alike.items()}
    return {"n": count, f"found among {among}": metrics.mean(torch.tensor(found)), **beats, "cosine": means}


def reference_accuracy(scorer: Scorer, place: world.World, count: int) -> dict:
    """Objects cut out of scenes against references: mean cosines with the same identity, the same noun in another one and another noun,
    and how often the right one of `identity.CHOICES` references of the noun is the most alike."""
    random = np.random.default_rng(1111)
    scenes = [place.scene(random, objects=2, held_out=True) for _ in range(count)]
    people, pictures = [s.identities[0] for s in scenes], world.batch([s.image for s in scenes])
    masks = [torch.from_numpy(s.masks[0] > 0.5) for s in scenes]
    objects = scorer.pictures(torch.stack([metrics.cut_out(p, m) for p, m in zip(pictures, masks)]))

    def reference(noun: str, kind: int) -> np.ndarray:
        style, tint = identity.KINDS[kind]
        return place.reference(random, world.Identity(noun, place.sprites[noun][style], tint), 1.0)

    asked = identity.questions(random, [identity.kind_of(place, who) for who in people])
    alike, strange = [], []
    for who, kinds, embedded in zip(people, asked.tolist(), objects):
        stranger = str(random.choice([n for n in world.NOUNS if n != who.noun]))
        cosines = scorer.pictures([reference(who.noun, kind) for kind in kinds] + [reference(stranger, kinds[0])]) @ embedded
        alike.append(cosines[:-1])
        strange.append(cosines[-1])
    alike = torch.stack(alike)
    return {
        "n": count,
        f"found among {identity.CHOICES}": metrics.mean((alike.argmax(1) == 0).float()),
        "cosine": {
            "same identity": metrics.mean(alike[:, 0]),
            "same noun, another identity": metrics.mean(alike[:, 1:].flatten()),
            "another noun, same style and tint": metrics.mean(torch.stack(strange)),
        },
    }


def publish(trained: clip.WithHeads) -> str:
    trained.clip.save_pretrained(FOLDER)
    clip.processor().save_pretrained(FOLDER)
    return ""


def main(rank: int) -> None:
    clip.train(rank, "scorer", SEED, publish)


if __name__ == "__main__":
    trainer.launch(main)
