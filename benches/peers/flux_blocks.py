"""FLUX blocks of the published size in diffusers, in turns with ours.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install torch==2.6.0 diffusers==0.32.2 transformers==4.48.3 safetensors numpy
    /tmp/peers/bin/python benches/peers/flux_blocks.py [--threads 2] [--rounds 5] [--binary PATH]

Makes a `FluxTransformer2DModel` of one double and one single block with random weights, saves it, starts the benchmark `flux_blocks`
on the same folder, and lets both sides run by turns: 512 text and 1024 latent tokens, f32. The time is that of a whole
evaluation: the blocks, and the embeddings and the output layer around them, which are the same small part on both sides. Outputs must
agree.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
from built import benchmark

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--repeats", type=int, default=1)
parser.add_argument("--binary", help="a built benchmark, instead of building it")
args = parser.parse_args()

import torch  # noqa: E402
from diffusers import FluxTransformer2DModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

torch.set_num_threads(args.threads)
TEXT, EDGE = 512, 32
# Between the rounding of two orders of summation over 15360 terms (1e-5) and any real difference.
TOLERANCE = 1e-4


def make(folder):
    """A model with activations near 1, saved to `folder` together with its inputs."""
    torch.manual_seed(0)
    model = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.normal_(std=0.7 / p.shape[1] ** 0.5)
            else:
                p.normal_(mean=1.0 if ".norm_" in name else 0.0, std=0.1)
    model.save_pretrained(folder)
    inputs = {
        "hidden_states": torch.randn(1, EDGE * EDGE, 64),
        "encoder_hidden_states": torch.randn(1, TEXT, 4096),
        "pooled_projections": torch.randn(1, 768),
    }
    save_file(inputs, os.path.join(folder, "inputs.safetensors"))
    row, column = torch.meshgrid(torch.arange(EDGE), torch.arange(EDGE), indexing="ij")
    ids = torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).float()
    inputs |= {"timestep": torch.tensor([0.75]), "guidance": torch.tensor([3.5]), "img_ids": ids, "txt_ids": torch.zeros(TEXT, 3)}
    return model, inputs


def best_of(run):
    run()
    best = float("inf")
    for _ in range(args.repeats):
        start = time.perf_counter()
        output = run()
        best = min(best, time.perf_counter() - start)
    return output, best * 1e3


def compare(binary):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model, inputs = make(folder)
        ours = subprocess.Popen([binary, folder], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        theirs, mine, deviation = [], [], 0.0
        for _ in range(args.rounds):
            expected, best = best_of(lambda: model(**inputs, return_dict=False)[0])
            theirs.append(best)
            ours.stdin.write(f"{args.repeats}\n")
            ours.stdin.flush()
            mine.append(float(ours.stdout.readline()))
            output = np.fromfile(os.path.join(folder, "output.bin"), "<f4").reshape(expected.shape)
            deviation = np.maximum(deviation, np.abs(output - expected.numpy()).max())  # keeps NaN
        ours.stdin.close()
        ours.wait()
    ratios = [a / b for a, b in zip(mine, theirs)]
    wrong = "" if deviation <= TOLERANCE * expected.abs().max().item() else "  OUTPUTS DIFFER"
    print(
        f"{min(theirs):>9.0f} {min(mine):>9.0f} {statistics.median(ratios):>7.2f}"
        f"  {min(ratios):.2f} to {max(ratios):.2f}   {deviation:.1e}{wrong}",
        flush=True,
    )


def main():
    binary = args.binary or benchmark("flux_blocks")
    print(f"torch {torch.__version__}, {args.threads} threads, {args.rounds} rounds of {args.repeats}")
    print(f"{'torch ms':>9} {'ours ms':>9} {'median':>7}  {'range':<12}   deviation")
    compare(binary)


if __name__ == "__main__":
    main()
