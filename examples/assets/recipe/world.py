"""The world the model lives in: one or two drawings standing in front of a simple setting, with caption and exact masks.

Pictures are [PIXELS, PIXELS, 3] float arrays in 0..1. Every random choice comes from the generator passed in.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

import settings

SIZE = settings.PIXELS

# The nouns in use. More nouns need more training before any of them is more than a blob.
NOUNS = ["apple", "banana", "car", "cat", "elephant", "house", "penguin", "rocket"]

SETTINGS = {
    "grass": ["on the grass", "in a meadow"],
    "beach": ["on the beach"],
    "snow": ["in the snow"],
    "night": ["at night", "under the night sky"],
    "street": ["on a city street"],
    "room": ["in a {} room"],
}
PAINTS = {
    "white": (245, 245, 245),
    "gray": (150, 150, 155),
    "pink": (250, 170, 190),
    "blue": (110, 150, 235),
    "green": (120, 200, 130),
    "yellow": (250, 220, 110),
    "purple": (170, 120, 210),
    "orange": (245, 165, 90),
}

# An identity is a drawing (noun and style) and a tint. Tints keep luminance, so they are linear on premultiplied colour.
TINTS = {"original": None, "purple": (165, 85, 225), "green": (80, 200, 75), "blue": (60, 125, 245)}
TINT_NAMES = list(TINTS)
_LUMINANCE = np.array([0.213, 0.715, 0.072], np.float32)


def tint_matrix(name: str) -> np.ndarray | None:
    """[3, 3] matrix that recolours a picture, or None for the original colours."""
    colour = TINTS[name]
    if colour is None:
        return None
    full = np.outer(np.array(colour, np.float32) / max(colour) * 1.2, _LUMINANCE)
    return (0.15 * np.eye(3, dtype=np.float32) + 0.85 * full).astype(np.float32)


@dataclass(frozen=True)
class Identity:
    noun: str
    sprite: int
    tint: str = "original"


@dataclass
class Scene:
    image: np.ndarray  # [SIZE, SIZE, 3]
    caption: str
    identities: list[Identity]
    masks: np.ndarray  # [objects, SIZE, SIZE], what of each object is visible
    setting: str


class World:
    def __init__(self) -> None:
        data = np.load(settings.BUILD / "sprites.npz")
        self.images = torch.from_numpy(data["image"]).permute(0, 3, 1, 2).float() / 255
        self.noun_of = [str(n) for n in data["noun"]]
        self.style_of = [str(s) for s in data["style"]]
        self.sprites = {noun: [i for i, n in enumerate(self.noun_of) if n == noun] for noun in NOUNS}
        self._matrices = {name: tint_matrix(name) for name in TINTS}
        self._resized: dict[tuple[int, int], np.ndarray] = {}

    def find(self, noun: str, style: str, tint: str = "original") -> Identity:
        sprite = next(i for i in self.sprites[noun] if self.style_of[i] == style)
        return Identity(noun, sprite, tint)

    def sprite(self, index: int, size: int) -> np.ndarray:
        """Premultiplied RGBA, cropped, longest side about `size`."""
        key = (index, size)
        if key not in self._resized:
            rgba = F.interpolate(self.images[index][None], size=(size, size), mode="bilinear", antialias=True)
            rgba = rgba[0].permute(1, 2, 0).numpy()
            rows, columns = np.where(rgba[..., 3] > 0.1)
            self._resized[key] = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].copy()
        return self._resized[key]

    def identity(self, random: np.random.Generator, noun: str | None = None) -> Identity:
        noun = noun or NOUNS[random.integers(len(NOUNS))]
        sprite = self.sprites[noun][random.integers(len(self.sprites[noun]))]
        tint = "original" if random.random() < 0.5 else TINT_NAMES[1 + random.integers(len(TINTS) - 1)]
        return Identity(noun, sprite, tint)

    def paste(self, image: np.ndarray, who: Identity, size: int, x: int, bottom: int, flip: bool) -> np.ndarray:
        """Draws into `image`; returns the coverage [SIZE, SIZE]."""
        rgba = self.sprite(who.sprite, size)
        rgba = rgba[:, ::-1] if flip else rgba
        height, width = rgba.shape[:2]
        x, y = int(np.clip(x, 0, SIZE - width)), int(np.clip(bottom - height, 0, SIZE - height))
        matrix = self._matrices[who.tint]
        colour = rgba[..., :3] if matrix is None else np.clip(rgba[..., :3] @ matrix.T, 0, 1)
        window = image[y : y + height, x : x + width]
        window[:] = np.minimum(window * (1 - rgba[..., 3:]) + colour, 1)
        mask = np.zeros((SIZE, SIZE), np.float32)
        mask[y : y + height, x : x + width] = rgba[..., 3]
        return mask

    def scene(
        self,
        random: np.random.Generator,
        objects: int | None = None,
        identities: list[Identity] | None = None,
        setting: str | None = None,
        held_out: bool = False,
    ) -> Scene:
        """A random scene. Pairs of nouns kept back for evaluation in a setting occur only with `held_out`."""
        if identities is None:
            objects = objects or (1 if random.random() < 0.45 else 2)
            setting = setting or list(SETTINGS)[random.integers(len(SETTINGS))]
            while True:
                nouns = [NOUNS[i] for i in random.choice(len(NOUNS), objects, replace=False)]
                if objects < 2 or is_held_out(nouns, setting) == held_out:
                    break
            identities = [self.identity(random, noun) for noun in nouns]
        objects = len(identities)
        setting, paint, phrase = setting_phrase(random, setting)
        image = background(random, setting, paint)
        halves = random.permutation(2)
        masks = []
        for half, who in zip(halves, identities):
            size = int(random.integers(40, 57) if objects == 1 else random.integers(27, 33))
            width = self.sprite(who.sprite, size).shape[1]
            if objects == 1:
                x, bottom = random.integers(0, SIZE - width + 1), random.integers(50, SIZE + 1)
            else:
                x = SIZE // 2 * half + random.integers(0, max(0, SIZE // 2 - width) + 1)
                bottom = random.integers(44, SIZE + 1)
            mask = self.paste(image, who, size, int(x), int(bottom), random.random() < 0.5)
            masks = [earlier * (1 - mask) for earlier in masks] + [mask]
        names = [article(identities[i].noun) for i in random.permutation(objects)]
        caption = " and ".join(names)
        if random.random() < 0.2:
            caption = ["a picture of ", "an image of ", "a photo of "][random.integers(3)] + caption
        if random.random() < 0.92:
            caption += " " + phrase
        return Scene(image, caption, identities, np.stack(masks), setting)

    def reference(self, random: np.random.Generator, who: Identity, plain: float = 0.6) -> np.ndarray:
        """A picture of one large object; with probability `plain` before a plain wall."""
        setting = "room" if random.random() < plain else list(SETTINGS)[random.integers(len(SETTINGS))]
        paint = "white" if random.random() < 0.5 else list(PAINTS)[random.integers(len(PAINTS))]
        image = background(random, setting, paint)
        size = int(random.integers(44, 61))
        width = self.sprite(who.sprite, size).shape[1]
        x, bottom = int(random.integers(0, SIZE - width + 1)), int(random.integers(size, SIZE + 1))
        self.paste(image, who, size, x, bottom, random.random() < 0.5)
        return image


def is_held_out(nouns: list[str], setting: str) -> bool:
    """Whether this pair of nouns in this setting (about one in eight) is kept back for evaluation."""
    return zlib.crc32(f"{'+'.join(sorted(nouns))}@{setting}".encode()) % 8 == 0


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def setting_phrase(random: np.random.Generator, setting: str | None = None) -> tuple[str, str | None, str]:
    setting = setting or list(SETTINGS)[random.integers(len(SETTINGS))]
    paint = list(PAINTS)[random.integers(len(PAINTS))] if setting == "room" else None
    phrases = SETTINGS[setting]
    return setting, paint, phrases[random.integers(len(phrases))].format(paint)


_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE


def _gradient(top: tuple, bottom: tuple, height: float = 1.0) -> np.ndarray:
    t = np.clip(_Y / height, 0, 1)[..., None]
    return ((1 - t) * np.array(top) + t * np.array(bottom)).astype(np.float32) / 255


def background(random: np.random.Generator, setting: str, paint: str | None = None) -> np.ndarray:
    if setting == "room":
        wall = np.ones((SIZE, SIZE, 3), np.float32) * np.array(PAINTS[paint], np.float32) / 255
        return wall * (1 - 0.06 * (_Y > 0.8))[..., None]
    horizon = random.uniform(0.35, 0.55)
    if setting == "grass":
        image = _gradient((130, 200, 245), (215, 240, 250), horizon)
        ground = _Y > horizon
        image[ground] = _gradient((120, 195, 80), (60, 140, 50))[ground]
    elif setting == "beach":
        image = _gradient((120, 205, 250), (205, 240, 250), horizon)
        image[_Y > horizon] = np.array((30, 130, 190)) / 255
        sand = _Y > horizon + 0.16 + 0.02 * np.sin(_X * 12 + random.uniform(0, 6))
        image[sand] = _gradient((240, 220, 160), (225, 190, 120))[sand]
    elif setting == "snow":
        image = _gradient((175, 190, 205), (225, 232, 240), horizon)
        image[_Y > horizon + 0.05 * np.sin(_X * 6 + random.uniform(0, 6))] = np.array((248, 250, 254)) / 255
    elif setting == "night":
        image = _gradient((10, 12, 45), (45, 45, 100))
        image[random.integers(0, SIZE, 14), random.integers(0, SIZE, 14)] = (0.95, 0.95, 0.8)
        x, y = random.uniform(0.1, 0.9), random.uniform(0.08, 0.25)
        image[(_X - x) ** 2 + (_Y - y) ** 2 < 0.005] = (0.98, 0.95, 0.75)
    else:
        image = _street(random, horizon)
    return image


def _street(random: np.random.Generator, horizon: float) -> np.ndarray:
    image = _gradient((170, 195, 215), (220, 225, 230), horizon)
    ground, left = int(horizon * SIZE), 0
    while left < SIZE:
        width, top = int(random.integers(8, 15)), int(random.uniform(0.05, horizon - 0.1) * SIZE)
        grey = random.uniform(0.35, 0.6)
        image[top : ground + 1, left : left + width] = (grey, grey * 0.95, grey * 1.05)
        image[top + 2 : ground : 4, left + 2 : left + width - 2 : 3] = (0.95, 0.88, 0.5)
        left += width
    image[_Y > horizon] = np.array((95, 95, 100)) / 255
    line = int((horizon + 1) / 2 * SIZE)
    image[line : line + 2, (np.arange(SIZE) // 6) % 2 == 0] = (0.95, 0.9, 0.6)
    return image


def batch(images: list[np.ndarray]) -> torch.Tensor:
    """[n, 3, SIZE, SIZE] in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(images), np.float32)).permute(0, 3, 1, 2)
