"""What the model card counts: nouns found, areas under curves, likeness to a reference, colour, and how sure a mean is."""

import numpy as np
import torch
import torch.nn.functional as F

import segmenter
import world

FOUND = 24  # pixels of a noun that count as present
LONGEST = 52  # side of a cut-out object, in pixels


def presence(oracle: segmenter.Segmenter, pictures: torch.Tensor, nouns: list[list[str]]) -> dict:
    """How often the oracle finds each noun that was asked for, and all of them."""
    _, counts = segmenter.areas(oracle, pictures)
    found = torch.tensor([[counts[k, world.NOUNS.index(n)] >= FOUND for n in names] for k, names in enumerate(nouns)])
    return {"n": len(nouns), "noun": mean(found.float().flatten()), "both": mean(found.all(1).float())}


def mean(values: torch.Tensor) -> list[float]:
    """Mean and half the width of its 95 % interval (normal approximation), of the values that are numbers."""
    values = values[~values.isnan()]
    half = 1.96 * values.std() / len(values) ** 0.5 if len(values) > 1 else torch.tensor(float("nan"))
    return [round(values.mean().item(), 4), round(half.item(), 4)]


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    order = scores.argsort(kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores):  # ties share their mean rank
        same = scores == value
        ranks[same] = ranks[same].mean()
    ones, zeros = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros)


def cut_out(picture: torch.Tensor, mask: torch.Tensor, longest: int = LONGEST) -> torch.Tensor:
    """The object below `mask` [SIZE, SIZE] alone on white, as large as a reference shows it. [3, SIZE, SIZE]"""
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    alone = (picture * mask + (1 - mask.float()))[(slice(None), *window)]
    scale = longest / max(alone.shape[1:])
    height, width = (max(1, round(side * scale)) for side in alone.shape[1:])
    alone = F.interpolate(alone[None], size=(height, width), mode="bilinear", antialias=True)[0]
    canvas = torch.ones(3, world.SIZE, world.SIZE)
    top, left = (world.SIZE - height) // 2, (world.SIZE - width) // 2
    canvas[:, top : top + height, left : left + width] = alone
    return canvas


def likeness(embed, pictures: torch.Tensor, masks: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Cosine of the embeddings of each masked object and of its reference [n, width]; 0 where nothing was found. [n]"""
    seen = masks.sum((1, 2)) >= FOUND
    scores = torch.zeros(len(pictures))
    if seen.any():
        objects = torch.stack([cut_out(p, m) for p, m in zip(pictures[seen], masks[seen])])
        scores[seen] = F.cosine_similarity(embed(objects), references[seen])
    return scores


def colour_of(pictures: torch.Tensor, masks: torch.Tensor, tints: list[str]) -> torch.Tensor:
    """Mean chroma below `masks` [n, SIZE, SIZE] along the chroma of each tint; 0 is grey or another hue. [n]"""
    directions = torch.tensor([world.TINTS[t] for t in tints]).float() / 255
    directions = F.normalize(directions - directions.mean(1, keepdim=True), dim=1)
    chroma = pictures - pictures.mean(1, keepdim=True)
    along = (chroma * directions[:, :, None, None]).sum(1)
    return (along * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)
