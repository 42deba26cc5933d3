"""Stage 3: a small CLIP. Captions meet pictures, and two pictures of one identity meet each other.

Three auxiliary heads on the image embedding (nouns present, drawing, tint) shorten the training; they are thrown away.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModel,
    CLIPVisionModelWithProjection,
)

import settings
import trainer
import world
from adapter import normalized
from text import token_ids, tokenizer

WIDTH = 128  # of the shared space and of the text encoder
SIDE = settings.PIXELS
CAPTION = 32  # tokens read in training; the text encoder is causal, so the padding after them changes no sentence


def build(vocabulary: int) -> CLIPModel:
    text = dict(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=settings.TOKENS,
        projection_dim=WIDTH,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        hidden_act="quick_gelu",
    )
    vision = dict(
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=8,
        projection_dim=WIDTH,
        hidden_act="quick_gelu",
    )
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    return CLIPModel._from_config(config, attn_implementation="eager")  # its backward pass is the faster one on a CPU


class WithHeads(nn.Module):
    def __init__(self, clip: CLIPModel, sprites: int) -> None:
        super().__init__()
        self.clip = clip
        self.nouns = nn.Linear(WIDTH, len(world.NOUNS))
        self.sprite = nn.Linear(WIDTH, sprites)
        self.tint = nn.Linear(WIDTH, len(world.TINTS))


def soft_targets(keys: list) -> torch.Tensor:
    """Rows that share a key are equally right answers for each other."""
    same = torch.tensor([[float(a == b) for b in keys] for a in keys])
    return same / same.sum(1, keepdim=True)


def contrast(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def train(rank: int, stage: str, seed: int, publish: Callable[[WithHeads], str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokens, place = tokenizer(), world.World()
    model = WithHeads(build(len(tokens)), len(place.noun_of))
    random = np.random.default_rng((seed, 3, rank))
    scenes_count = settings.BATCH[stage] * 5 // 8
    pairs_count = settings.BATCH[stage] - scenes_count

    def view(who: world.Identity) -> np.ndarray:
        if random.random() < 0.6:
            return place.reference(random, who, 0.4)
        return place.scene(random, identities=[who]).image

    def loss(step: int) -> dict[str, torch.Tensor]:
        scenes = [place.scene(random) for _ in range(scenes_count)]
        people = [place.identity(random) for _ in range(pairs_count)]
        for k in range(0, pairs_count - 1, 2):  # every other one shares its noun with its neighbour: a hard negative
            people[k + 1] = place.identity(random, people[k].noun)
        images = [s.image for s in scenes] + [view(p) for p in people] + [view(p) for p in people]
        captions = [s.caption for s in scenes] + [world.article(p.noun) for p in people]
        keys = [s.caption for s in scenes] + [f"#{p.noun}" for p in people]

        pictures = F.normalize(raw := model.clip.get_image_features(normalized(world.batch(images))), dim=-1)
        words = F.normalize(model.clip.get_text_features(token_ids(tokens, captions)[:, :CAPTION]), dim=-1)
        scale = model.clip.logit_scale.exp().clamp(max=60)
        raw, pictures, words = raw.float(), pictures.float(), words.float()
        with torch.autocast("cpu", enabled=False):  # differences of similarities need every bit
            logits = scale * pictures[: len(captions)] @ words.T
        targets = soft_targets(keys)
        first, second = pictures[scenes_count:].chunk(2)
        between = 12 * first @ second.T

        present = [{i.noun for i in s.identities} for s in scenes] + [{p.noun} for p in people] * 2
        nouns = torch.tensor([[float(n in nouns) for n in world.NOUNS] for nouns in present])
        alone, twice = 2 * raw[scenes_count:], people * 2
        sprite = torch.tensor([p.sprite for p in twice])
        tint = torch.tensor([world.TINT_NAMES.index(p.tint) for p in twice])
        heads = 8 * F.binary_cross_entropy_with_logits(model.nouns(2 * raw), nouns)
        heads = heads + 0.3 * F.cross_entropy(model.sprite(alone), sprite) + 0.3 * F.cross_entropy(model.tint(alone), tint)
        both_ways = (contrast(logits, targets) + contrast(logits.T, targets)) / 2
        right = (logits[:scenes_count].argmax(1) == torch.arange(scenes_count)).float().mean()
        return {
            "total": both_ways + 0.5 * contrast(between, soft_targets(people)) + heads,
            "caption": both_ways,
            "retrieval": right,
            "identity": (between.argmax(1) == torch.arange(pairs_count)).float().mean(),
        }

    trainer.train(stage, rank, model, loss, publish, peak=1e-3)


def publish(trained: WithHeads) -> str:
    whole = settings.BUILD / "clip"
    trained.clip.save_pretrained(whole)
    CLIPTextModel.from_pretrained(whole).save_pretrained(settings.MODEL / "text_encoder")
    CLIPVisionModelWithProjection.from_pretrained(whole).save_pretrained(settings.MODEL / "image_encoder")
    processor().save_pretrained(settings.MODEL / "feature_extractor")
    return ""


def processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def main(rank: int) -> None:
    train(rank, "clip", settings.SEED, publish)


if __name__ == "__main__":
    trainer.launch(main)
