"""Renders the reference pictures that are committed: 256 x 256, one object of an unusual identity on white."""

from pathlib import Path

import numpy as np
from PIL import Image

import sprites
from world import tint_matrix

# file name -> noun, style, tint
REFERENCES = {
    "purple_elephant": ("elephant", "noto", "purple"),
    "green_cat": ("cat", "fluent-flat", "green"),
    "blue_house": ("house", "fluent-flat", "blue"),
    "green_rocket": ("rocket", "noto", "green"),
}


def picture(noun: str, style: str, tint: str, side: int = 256) -> Image.Image:
    rgba = sprites.drawing(noun, style, side * 13 // 16)
    matrix = tint_matrix(tint)
    colour = rgba[..., :3] if matrix is None else np.clip(rgba[..., :3] @ matrix.T, 0, rgba[..., 3:])
    canvas = np.ones((side, side, 3), np.float32)
    top, left = (side - rgba.shape[0]) // 2, (side - rgba.shape[1]) // 2
    window = canvas[top : top + rgba.shape[0], left : left + rgba.shape[1]]
    window[:] = window * (1 - rgba[..., 3:]) + colour
    return Image.fromarray((canvas.clip(0, 1) * 255).round().astype(np.uint8))


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, identity in REFERENCES.items():
        picture(*identity).save(folder / f"{name}.png", optimize=True)
