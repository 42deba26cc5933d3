"""Contact sheets: pictures in rows, each with a label."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def contact(pictures, path: Path, columns: int = 8, zoom: int = 3, labels: list[str] | None = None) -> None:
    """Writes `pictures` ([SIZE, SIZE, 3] in 0..1) to `path`, enlarged `zoom` times without smoothing."""
    side, line = pictures[0].shape[0] * zoom, 12 if labels else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 2), rows * (side + 2 + line)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, picture in enumerate(pictures):
        left, top = (k % columns) * (side + 2), (k // columns) * (side + 2 + line)
        image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
        sheet.paste(image.resize((side, side), Image.NEAREST), (left, top + line))
        if labels and labels[k]:
            free = 1  # columns until the next label
            while k + free < len(pictures) and (k + free) % columns and not labels[k + free]:
                free += 1
            draw.text((left + 1, top), labels[k][: free * side // 6], fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
