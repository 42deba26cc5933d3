"""A FLUX.1 step with Q4_0 weights by stable-diffusion.cpp, for `--bench flux_memory -- --text 256 q4_0`.

    python -m venv /tmp/sdcpp && cd /tmp/sdcpp
    bin/pip install cmake ninja numpy pillow
    bin/pip download --no-deps --no-binary :all: stable-diffusion-cpp-python && tar xzf stable_diffusion_cpp_python-*.tar.gz
    bin/cmake -S stable_diffusion_cpp_python-*/vendor/stable-diffusion.cpp -B build -DCMAKE_BUILD_TYPE=Release && bin/cmake --build build
    bin/python PROJECT/benches/peers/flux_sdcpp.py --cli build/bin/sd-cli [--threads 2] [--steps 2] [--dir DIR]

Writes a transformer of the published size and names with random Q4_0 blocks (6.7 GB, removed afterwards), a random CLIP and autoencoder,
and lets `sd-cli` make a picture of 512 x 512 from a reference of 512 x 512. There is no T5: the text is 256 tokens of zeros, as
many as stable-diffusion.cpp gives it. Prints the seconds of each step as `sd-cli` tells them, and its peak resident memory.
"""

import argparse
import json
import os
import re
import resource
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

FIXTURES = Path(__file__).parents[2] / "conceptrol-core/tests/fixtures/manifests"
F32, F16, Q4_0 = 0, 1, 2
INNER, MLP = 3072, 12288

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--cli", required=True, help="the program sd-cli")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=2)
parser.add_argument("--dir", help="where to write, instead of the system's temporary folder")
parser.add_argument("--flash", action="store_true", help="with flash attention in the transformer")
args = parser.parse_args()


def transformer():
    """Names and shapes of the original single file."""
    def layer(name, inputs, outputs):
        return {f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]}

    tensors = {}
    for name, inputs in [("time_in", 256), ("vector_in", 768), ("guidance_in", 256)]:
        tensors |= layer(f"{name}.in_layer", inputs, INNER) | layer(f"{name}.out_layer", INNER, INNER)
    tensors |= layer("img_in", 64, INNER) | layer("txt_in", 4096, INNER)
    tensors |= layer("final_layer.linear", INNER, 64) | layer("final_layer.adaLN_modulation.1", INNER, 2 * INNER)
    for block in (f"double_blocks.{index}" for index in range(19)):
        for side in ["img", "txt"]:
            tensors |= layer(f"{block}.{side}_mod.lin", INNER, 6 * INNER)
            tensors |= layer(f"{block}.{side}_attn.qkv", INNER, 3 * INNER) | layer(f"{block}.{side}_attn.proj", INNER, INNER)
            tensors |= layer(f"{block}.{side}_mlp.0", INNER, MLP) | layer(f"{block}.{side}_mlp.2", MLP, INNER)
            tensors |= {f"{block}.{side}_attn.norm.{norm}_norm.scale": [128] for norm in ["query", "key"]}
    for block in (f"single_blocks.{index}" for index in range(38)):
        tensors |= layer(f"{block}.linear1", INNER, 3 * INNER + MLP) | layer(f"{block}.linear2", INNER + MLP, INNER)
        tensors |= layer(f"{block}.modulation.lin", INNER, 3 * INNER)
        tensors |= {f"{block}.norm.{norm}_norm.scale": [128] for norm in ["query", "key"]}
    return tensors


def write(path, tensors, kind):
    """A GGUF file; matrices in blocks where `kind` says so, everything else in f32 (kernels of convolutions in f16)."""
    random = np.random.default_rng(0)
    blocks = np.zeros((1 << 20, 18), np.uint8)
    blocks[:, :2] = np.full((1 << 20, 1), 0.002, np.float16).view(np.uint8)
    blocks[:, 2:] = random.integers(0, 256, (1 << 20, 16), np.uint8)
    pool = {
        Q4_0: blocks.tobytes(),
        F16: (random.standard_normal(1 << 22) / 64).astype(np.float16).tobytes(),
        F32: (random.standard_normal(1 << 20) / 64).astype(np.float32).tobytes(),
    }
    rows = []
    for name, shape in tensors.items():
        blocked = kind == Q4_0 and len(shape) == 2 and ("_blocks." in name)
        stored = Q4_0 if blocked else F16 if len(shape) > 1 else F32
        size = int(np.prod(shape))
        rows.append((name, shape, stored, {Q4_0: size // 32 * 18, F16: 2 * size, F32: 4 * size}[stored]))
    text = lambda value: struct.pack("<Q", len(value)) + value.encode()  # noqa: E731
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(rows), 1))
        file.write(text("general.architecture") + struct.pack("<I", 8) + text("flux"))
        offset = 0
        for name, shape, stored, size in rows:
            file.write(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), stored, offset))
            offset += -(-size // 32) * 32
        for _, _, stored, size in rows:
            file.write(bytes(-file.tell() % 32))
            while size:
                part = pool[stored][:size]
                file.write(part)
                size -= len(part)
        file.write(bytes(-file.tell() % 32))


with tempfile.TemporaryDirectory(dir=args.dir) as folder:
    folder = Path(folder)
    write(folder / "flux.gguf", transformer(), Q4_0)
    for part, manifest in [("vae", "flux-vae"), ("clip", "clip-l-text")]:
        shapes = json.loads((FIXTURES / f"{manifest}.json").read_text())["tensors"]
        write(folder / f"{part}.gguf", shapes, F16)
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    Image.fromarray(noise).save(folder / "reference.png")
    command = [args.cli, "--diffusion-model", folder / "flux.gguf", "--vae", folder / "vae.gguf", "--clip_l", folder / "clip.gguf"]
    command += ["-r", folder / "reference.png", "--disable-auto-resize-ref-image", "-p", "a cat", "--cfg-scale", "1", "-W", "512", "-H", "512"]
    command += ["--sampling-method", "euler", "--steps", args.steps, "-t", args.threads, "-o", folder / "out.png", "-v"]
    command += ["--diffusion-fa"] * args.flash
    run = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    told = re.split(r"[\r\n]", run.stdout)
    if run.returncode:
        raise SystemExit("\n".join(told[-40:]))
    print("\n".join(line for line in told if re.search(r"s/it|it/s|sampling completed|total params|compute buffer", line)))
    print(f"peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6:.2f} GB")
