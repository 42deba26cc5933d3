"""Stage 8: a judge of identity for the evaluation. Given an object's noun and its cut-out, which drawing and which tint is it?

It is trained on objects of composed scenes and asked about generated pictures, which are softer and louder than composed ones; so it
sees most scenes softened (`softened`), and most objects below the outlines that the oracle draws there. No picture of the UNet is in it.
`accuracy` says how often it is right about scenes whose answer is known: the upper end of what it can find anywhere else.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

import fast
import metrics
import segmenter
import settings
import trainer
import world

CHOICES = 8  # identities a question offers
STYLES = 4  # drawings of a noun
KINDS = [(style, tint) for style in range(STYLES) for tint in world.TINT_NAMES]  # what an identity adds to a noun
FILE = settings.BUILD / "identity.pt"


class Judge(nn.Module):
    """Cut-outs [batch, 3, SIZE, SIZE] in 0..1 to logits [batch, nouns, kinds]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (12, 32, 64, 96, 128)
        self.blocks = nn.ModuleList(segmenter.convolutions(i, o) for i, o in zip(widths, widths[1:]))
        self.out = nn.Linear(16 * widths[-1], len(world.NOUNS) * len(KINDS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pixel_unshuffle(x, 2)
        for k, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if k else x)
        return self.out(x.flatten(1)).unflatten(1, (len(world.NOUNS), len(KINDS)))


def kind_of(place: world.World, who: world.Identity) -> int:
    return KINDS.index((place.sprites[who.noun].index(who.sprite), who.tint))


def questions(random: np.random.Generator, kinds: list[int]) -> torch.Tensor:
    """Per kind a question [questions, CHOICES]: that kind first, then others, all equally likely."""
    others = [random.permutation([k for k in range(len(KINDS)) if k != right])[: CHOICES - 1] for right in kinds]
    return torch.cat([torch.tensor(kinds)[:, None], torch.from_numpy(np.stack(others))], 1)


@torch.no_grad()
def recognised(
    judge: Judge, pictures: torch.Tensor, masks: torch.Tensor, nouns: torch.Tensor, asked: torch.Tensor
) -> torch.Tensor:
    """1.0 where the judge prefers the first choice of `asked` [n, choices] for the object below `masks` [n, SIZE, SIZE]. [n]

    An object that is not there (fewer than `metrics.FOUND` pixels) is not recognised.
    """
    seen = masks.sum((1, 2)) >= metrics.FOUND
    right = torch.zeros(len(pictures))
    if seen.any():
        objects = torch.stack([metrics.cut_out(p, m) for p, m in zip(pictures[seen], masks[seen])])
        logits = judge(objects)[torch.arange(len(objects)), nouns[seen]]
        right[seen] = (logits.gather(1, asked[seen]).argmax(1) == 0).float()
    return right


def accuracy(judge: Judge, oracle: segmenter.Segmenter, vae: AutoencoderKL, place: world.World, count: int) -> dict:
    """On objects of `count` real scenes of two, below the oracle's masks: as composed, and as the autoencoder gives them back."""
    random = np.random.default_rng(606)
    scenes = [place.scene(random, objects=2) for _ in range(count)]
    pictures = world.batch([s.image for s in scenes])
    nouns = torch.tensor([world.NOUNS.index(s.identities[0].noun) for s in scenes])
    asked = questions(random, [kind_of(place, s.identities[0]) for s in scenes])
    every = torch.stack([torch.tensor([a[0], *(k for k in range(len(KINDS)) if k != a[0])]) for a in asked])
    result = {}
    for name, shown in (("real", pictures), ("autoencoder", through(vae, pictures))):
        labels, _ = segmenter.areas(oracle, shown)
        masks = labels == 1 + nouns[:, None, None]
        result[name] = {
            f"among {c.shape[1]}": metrics.mean(recognised(judge, shown, masks, nouns, c)) for c in (asked, every)
        }
    return result


@torch.no_grad()
def through(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    decode = lambda x: vae.decode(vae.encode(x * 2 - 1).latent_dist.mode()).sample
    return torch.cat([decode(chunk) for chunk in pictures.split(32)]).div(2).add(0.5).clamp(0, 1)


def softened(random: np.random.Generator, pictures: torch.Tensor, vae: AutoencoderKL) -> torch.Tensor:
    """A quarter of the pictures as they are, the others through the autoencoder; two quarters blurred before it."""
    part = len(pictures) // 4
    blurred = pictures[: 2 * part]
    deviation = random.uniform(0.6, 1.6)  # pixels
    at = torch.arange(-4, 5) / deviation
    line = torch.softmax(-at.square() / 2, 0)
    kernel = (line[:, None] * line).expand(3, 1, 9, 9)
    blurred = F.conv2d(F.pad(blurred, (4, 4, 4, 4), mode="replicate"), kernel, groups=3)
    given_back = through(vae, torch.cat([blurred, pictures[2 * part : 3 * part]]))
    contrast = torch.from_numpy(random.uniform(0.9, 1.4, (len(given_back), 1, 1, 1))).float()  # guidance makes colours louder
    return torch.cat([(given_back - 0.5) * contrast + 0.5, pictures[3 * part :]])


def load() -> Judge:
    judge = Judge().eval()
    judge.load_state_dict(torch.load(FILE, weights_only=True))
    return judge


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(settings.SEED)
    judge, place, oracle = Judge(), world.World(), segmenter.load()
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    fast.accelerate(judge)
    fast.accelerate(oracle)
    random = np.random.default_rng((settings.SEED, 8, rank))

    def loss(step: int) -> dict[str, torch.Tensor]:
        scenes = [place.scene(random) for _ in range(settings.BATCH["identity"])]
        pictures = world.batch([s.image for s in scenes])
        pictures = softened(random, pictures, vae)
        pictures = (pictures + torch.randn_like(pictures) * random.uniform(0, 0.05)).clamp(0, 1)
        labels, _ = segmenter.areas(oracle, pictures)
        objects, nouns, kinds = [], [], []
        for picture, label, scene in zip(pictures, labels, scenes):
            for who, mask in zip(scene.identities, scene.masks):
                noun = world.NOUNS.index(who.noun)
                outline = label == 1 + noun
                if random.random() < 0.25 or outline.sum() < metrics.FOUND:
                    outline = torch.from_numpy(mask > random.uniform(0.2, 0.8))
                if outline.sum() < metrics.FOUND:
                    continue
                objects.append(metrics.cut_out(picture, outline))
                nouns.append(noun)
                kinds.append(kind_of(place, who))
        logits, kinds = judge(torch.stack(objects)), torch.tensor(kinds)
        logits = logits[torch.arange(len(nouns)), nouns].float()
        return {"total": F.cross_entropy(logits, kinds), "right": (logits.argmax(1) == kinds).float().mean()}

    def publish(trained: Judge) -> str:
        torch.save(trained.state_dict(), FILE)
        return ""

    trainer.train("identity", rank, judge, loss, publish, peak=1e-3, muon=0.02)


if __name__ == "__main__":
    trainer.launch(main)
