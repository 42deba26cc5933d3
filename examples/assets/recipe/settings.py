"""Where files go, how much each stage trains, and what every stage shares.

Everything is written below one build folder (`$TINY_BUILD`, default `build` beside this file), never into the checkout.
`--quick` on any command line (or `TINY_QUICK=1`) shrinks every stage so that the whole recipe runs in about two minutes;
its model is useless but has the real shapes.
"""

import os
import sys
from pathlib import Path

QUICK = "--quick" in sys.argv or os.environ.get("TINY_QUICK") == "1"
if QUICK:
    os.environ["TINY_QUICK"] = "1"  # seen by child processes

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("TINY_BUILD", HERE / ("build-quick" if QUICK else "build")))
MODEL = BUILD / "model"  # float32, diffusers layout
BUILD.mkdir(parents=True, exist_ok=True)

PROCESSES = int(os.environ.get("TINY_PROCESSES", 2))  # single-threaded training processes
SEED = int(os.environ.get("TINY_SEED", 0))

PIXELS = 64  # side of a picture
LATENT = 16  # side of a latent
TOKENS = 77  # text window

# steps of each stage and pictures per process and step
STEPS = {"clip": 2400, "vae": 3000, "unet": 2800, "adapter": 1200, "adapter_plus": 800, "segmenter": 1200, "identity": 1000, "scorer": 2000, "flux": 2000, "flux_guidance": 720, "flux_adapter": 800}
BATCH = {"clip": 48, "vae": 8, "unet": 64, "adapter": 64, "adapter_plus": 64, "segmenter": 32, "identity": 24, "scorer": 48, "flux": 64, "flux_guidance": 64, "flux_adapter": 64}
POOL = {"vae": 6000, "unet": 4000, "adapter": 8000, "adapter_plus": 8000, "flux_adapter": 12000}  # pre-made samples per process
if QUICK:
    STEPS = {"clip": 12, "vae": 24, "unet": 24, "adapter": 24, "adapter_plus": 24, "segmenter": 24, "identity": 24, "scorer": 12, "flux": 24, "flux_guidance": 24, "flux_adapter": 24}
    POOL = {"vae": 64, "unet": 128, "adapter": 64, "adapter_plus": 64, "flux_adapter": 64}


def _option(name: str, default: int) -> int:
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def steps(stage: str) -> int:
    """Steps of `stage`; `--steps N` on the command line wins over the table."""
    return _option("--steps", STEPS[stage])


def pool(stage: str) -> int:
    """Pre-made samples per process of `stage`; `--pool N` wins over the table."""
    return _option("--pool", POOL[stage])
