"""Stage 1: fetch openly licensed emoji drawings and render them to `sprites.npz`.

The drawings come from the npm registry, by package name and version. Only permissively licensed sets are used:
Noto Emoji (Google, Apache-2.0) and Fluent Emoji (Microsoft, MIT) in three renderings of it.
"""

import io
import json
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

import settings

# style -> npm package, exact version
PACKAGES = {
    "noto": ("@iconify-json/noto", "1.2.9"),
    "fluent-flat": ("@iconify-json/fluent-emoji-flat", "1.2.6"),
    "fluent-color": ("@iconify-json/fluent-emoji", "1.2.7"),
    "fluent-3d": ("@lobehub/fluent-emoji-3d", "1.1.0"),
}

# noun -> (icon name in the vector sets, file name in the 3d set)
NOUNS = {
    "apple": ("red-apple", "1f34e.webp"),
    "ball": ("soccer-ball", "26bd.webp"),
    "banana": ("banana", "1f34c.webp"),
    "book": ("closed-book", "1f4d5.webp"),
    "bus": ("bus", "1f68c.webp"),
    "car": ("automobile", "1f697.webp"),
    "cat": ("cat", "1f408.webp"),
    "dog": ("dog", "1f415.webp"),
    "elephant": ("elephant", "1f418.webp"),
    "house": ("house", "1f3e0.webp"),
    "mug": ("beer-mug", "1f37a.webp"),
    "mushroom": ("mushroom", "1f344.webp"),
    "owl": ("owl", "1f989.webp"),
    "penguin": ("penguin", "1f427.webp"),
    "rocket": ("rocket", "1f680.webp"),
    "tree": ("deciduous-tree", "1f333.webp"),
}

SPRITE_SIZE = 96  # longest side in pixels, of a drawing cropped to its own bounds


def fetch(style: str) -> Path:
    """The unpacked package of `style`; downloads it on first use."""
    name, version = PACKAGES[style]
    folder = settings.BUILD / "npm" / f"{style}-{version}"
    if not (folder / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", f"{name}@{version}", "--silent"], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
            for member in archive.getmembers():
                member.name = member.name.removeprefix("package/")
                archive.extract(member, folder, filter="data")
    return folder


@cache
def _icons(style: str) -> dict:
    return json.loads((fetch(style) / "icons.json").read_text())


def _svg(style: str, name: str) -> str:
    """A stand-alone SVG document of one icon of an iconify set."""
    icons = _icons(style)
    while name not in icons["icons"]:
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    box = " ".join(str(icon.get(key, icons.get(key, default))) for key, default in
                   (("left", 0), ("top", 0), ("width", 16), ("height", 16)))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box}">{icon["body"]}</svg>')


def drawing(noun: str, style: str, size: int) -> np.ndarray:
    """`noun` in `style`, cropped to its bounds, longest side `size`: premultiplied RGBA in 0..1, [height, width, 4]."""
    icon, file = NOUNS[noun]
    if style == "fluent-3d":
        image = Image.open(fetch(style) / "assets" / file).convert("RGBA")
    else:
        png = resvg_py.svg_to_bytes(svg_string=_svg(style, icon), width=2 * size, height=2 * size)
        image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    solid = image.getchannel("A").point(lambda alpha: 255 if alpha > 24 else 0)
    image = image.crop(solid.getbbox())
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    rgba = np.asarray(image, np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    # channels are resized one by one because Pillow knows no premultiplied RGBA
    planes = [np.asarray(Image.fromarray(rgba[..., c]).resize((width, height), Image.LANCZOS)) for c in range(4)]
    return np.clip(np.stack(planes, -1), 0, 1)


def main() -> None:
    images, nouns, styles = [], [], []
    for noun in NOUNS:
        for style in PACKAGES:
            rgba = drawing(noun, style, SPRITE_SIZE)
            canvas = np.zeros((SPRITE_SIZE, SPRITE_SIZE, 4), np.float32)
            top, left = (SPRITE_SIZE - rgba.shape[0]) // 2, (SPRITE_SIZE - rgba.shape[1]) // 2
            canvas[top : top + rgba.shape[0], left : left + rgba.shape[1]] = rgba
            images.append((canvas * 255).astype(np.uint8))
            nouns.append(noun)
            styles.append(style)
    np.savez_compressed(settings.BUILD / "sprites.npz", image=np.stack(images), noun=nouns, style=styles)
    print(f"{len(images)} sprites of {len(NOUNS)} nouns in {len(PACKAGES)} styles")


if __name__ == "__main__":
    main()
