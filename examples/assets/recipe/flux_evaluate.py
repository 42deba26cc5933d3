"""Stage 18: what the library makes of the packaged FLUX, judged as in stage 9: `python flux_evaluate.py PERSONALIZE [--few]`.

PERSONALIZE is the library's example program. It makes every picture, at its defaults; only the judging is done here.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import identity
import segmenter
import settings
import world
from evaluate import DEFAULTS, personal
from flux_adapter import FILE
from flux_package import PACKAGE
from personalize import Personalizer

MODES = {"text": "text-only", "plain": "adapter", "gated": "conceptrol"}  # of the program
NAMES = {"text": "text_only", "plain": "ominicontrol", "gated": "conceptrol"}  # of the pictures it writes


class Library:
    """As `Personalizer`: pictures by the program, embeddings by the small image encoder, which the FLUX model has no part in."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.embed = Personalizer().embed

    def read(self, references: torch.Tensor) -> torch.Tensor:
        """Numbers of the files."""
        for number, picture in enumerate(references):
            bytes_of = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            Image.fromarray(bytes_of).save(self.folder / f"reference_{number}.png")
        return torch.arange(len(references))

    def sample(self, prompts, concepts, references, seeds, scale: float, gated: bool) -> torch.Tensor:
        method = "gated" if gated else "plain" if scale else "text"
        pictures = []
        for prompt, concept, reference, seed in zip(prompts, concepts, references.tolist(), seeds):
            out = self.folder / f"{method}_{seed}"
            command = [self.program, "--model", PACKAGE, "--adapter", PACKAGE / FILE.name, "--prompt", prompt, "--out", out]
            command += ["--concept", f"{concept}={self.folder / f'reference_{reference}.png'}", "--seed", str(seed), "--mode", MODES[method]]
            subprocess.run(command, check=True, capture_output=True)
            picture = np.array(Image.open(out / f"{NAMES[method]}.png").convert("RGB"))
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1) / 255)
        return torch.stack(pictures)


def main() -> None:
    few = settings.QUICK or "--few" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        library = Library(sys.argv[1], Path(folder))
        rows = personal(
            library, world.World(), segmenter.load(), identity.load(), 8 if few else 100, 1 if few else 2, DEFAULTS, "flux_defaults"
        )
    (settings.BUILD / "flux_evaluation.json").write_text(json.dumps(rows, indent=1))
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
