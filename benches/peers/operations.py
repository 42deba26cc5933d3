"""The operations of `benches/src/operations.rs` in PyTorch, in turns with ours.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch==2.6.0 numpy --index-url https://download.pytorch.org/whl/cpu
    /tmp/peers/bin/python benches/peers/operations.py [--threads 2] [--rounds 5] [--cpu] [FILTER]

Builds the benchmark, starts it as `operations --serve`, and for each operation lets both sides run by turns. Prints the best time
of each, the ratio of the best, and the range of the ratios of the rounds. Inputs are the same numbers on both sides; the mean
absolute outputs must agree.
"""

import argparse
import os
import subprocess
import time

import numpy as np
from built import benchmark

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--repeats", type=int, default=2)
parser.add_argument("--cpu", action="store_true", help="compare processor time, for a machine that others use too")
parser.add_argument("--binary", help="a built benchmark, instead of building it")
parser.add_argument("filter", nargs="?", default="")
args = parser.parse_args()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(args.threads)


def numbers(*shape, seed):
    """The linear congruential generator of `benches/src/numbers.rs`, all steps at once modulo 2^32."""
    n = int(np.prod(shape))
    powers = np.cumprod(np.full(n, 1664525, dtype=np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[1], powers[:-1]]).astype(np.uint32), dtype=np.uint32)
    states = powers * np.uint32(seed) + sums * np.uint32(1013904223)
    values = (states >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return torch.from_numpy(values.reshape(shape))


def heads(batch, count, length, dim, seed):
    return numbers(batch, length, count, dim, seed=seed).transpose(1, 2)


def linear(rows, d_in, d_out):
    x, w, b = numbers(rows, d_in, seed=1), numbers(d_out, d_in, seed=2), numbers(d_out, seed=3)
    return f"linear {rows}x{d_in}x{d_out}", lambda: F.linear(x, w, b)


def conv(c_in, c_out, side, size):
    def prepare():
        x, w, b = numbers(2, c_in, side, side, seed=1), numbers(c_out, c_in, size, size, seed=2), numbers(c_out, seed=3)
        return lambda: F.conv2d(x, w, b, padding=size // 2)

    return f"conv{size}x{size} 2x{c_in}x{side}x{side} -> {c_out}", prepare


def attention(batch, h, q_len, k_len, dim, kind=None):
    def prepare():
        q, k, v = heads(batch, h, q_len, dim, 1), heads(batch, h, k_len, dim, 2), heads(batch, h, k_len, dim, 3)
        mask = None
        if kind:  # the mask the authors' code would build
            rows = torch.cat([torch.full((512,), -1e7), numbers(1024, seed=4), torch.zeros(1024)])
            mask = torch.zeros(1, 1, q_len, k_len)
            mask[..., 1536:] = rows[:, None]
        return lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(batch, q_len, -1)

    return f"attention {batch}x{h}x{q_len}x{k_len}x{dim}" + (f" {kind} bias" if kind else ""), prepare


def text_map(rows, h, q_len, text_len, dim):
    def prepare():
        q, k = heads(rows, h, q_len, dim, 1), heads(rows, h, text_len, dim, 2)
        return lambda: (q @ k.transpose(2, 3) / dim**0.5).softmax(-1).mean(1)

    return f"text map {rows}x{h}x{q_len}x{text_len}x{dim}", prepare


def later(name_and_run):
    name, run = name_and_run
    return name, lambda: run


def geglu(x):
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


def elementwise():
    image = lambda: numbers(2, 320, 64, 64, seed=1)  # noqa: E731
    g, b = numbers(320, seed=2), numbers(320, seed=3)
    wide = lambda: numbers(2, 4096, 2560, seed=1)  # noqa: E731
    on = lambda x, f: lambda: f(x)  # noqa: E731
    return [
        ("silu 2x320x64x64", lambda: on(image(), F.silu)),
        ("gelu 2x4096x2560", lambda: on(wide(), F.gelu)),
        ("geglu 2x4096x2560", lambda: on(wide(), geglu)),
        ("group norm 2x320x64x64", lambda: on(image(), lambda x: F.group_norm(x, 32, g, b))),
        ("group norm + silu 2x320x64x64", lambda: on(image(), lambda x: F.silu(F.group_norm(x, 32, g, b)))),
        ("layer norm 2x4096x320", lambda: on(numbers(2, 4096, 320, seed=1), lambda x: F.layer_norm(x, (320,), g, b))),
        ("softmax 2x8x4096x77", lambda: on(numbers(2, 8, 4096, 77, seed=1), lambda x: x.softmax(-1))),
    ]


OPERATIONS = [
    *(later(linear(*s)) for s in [(8192, 320, 320), (2048, 640, 640), (2048, 1280, 5120), (8192, 320, 2560), (2, 1280, 320)]),
    *(later(linear(*s)) for s in [(1024, 3072, 3072), (1024, 3072, 12288), (1024, 12288, 3072)]),
    *(conv(c, c, side, 3) for c, side in [(320, 64), (640, 32), (1280, 16), (1280, 8)]),
    conv(960, 320, 64, 1),
    attention(2, 8, 4096, 4096, 40),
    attention(2, 8, 1024, 1024, 80),
    attention(2, 8, 256, 256, 160),
    attention(2, 8, 4096, 77, 40),
    attention(2, 8, 4096, 16, 40),
    attention(1, 24, 2560, 2560, 128),
    attention(1, 24, 2560, 2560, 128, "structured"),
    text_map(1, 8, 256, 77, 160),
    *elementwise(),
]


def best_of(run, repeats):
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def processor_time(run, repeats):
    run()
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats * 1e3


def main():
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    binary = args.binary or benchmark("operations")
    ours = subprocess.Popen([binary, "--serve"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    clock = "processor time" if args.cpu else "wall time"
    print(f"torch {torch.__version__}, {args.threads} threads, {clock}, {args.rounds} rounds of {args.repeats}")
    print(f"{'operation':<46} {'torch ms':>9} {'ours ms':>9} {'ratio':>6} {'range':>13}")
    for name, prepare in OPERATIONS:
        if args.filter not in name:
            continue
        run = prepare()
        theirs, mine = [], []
        with torch.inference_mode():
            for _ in range(args.rounds):
                theirs.append((processor_time if args.cpu else best_of)(run, args.repeats))
                ours.stdin.write(f"{args.repeats} {name}\n")
                ours.stdin.flush()
                best, processor, mean = map(float, ours.stdout.readline().split())
                mine.append(processor if args.cpu else best)
            expected = run().double().abs().mean().item()
        ratios = [a / b for a, b in zip(mine, theirs)]
        wrong = "" if abs(mean - expected) <= 1e-4 * expected else f"  OUTPUTS DIFFER: {mean} {expected}"
        print(
            f"{name:<46} {min(theirs):>9.2f} {min(mine):>9.2f} {min(mine) / min(theirs):>6.2f}"
            f"  {min(ratios):>5.2f}-{max(ratios):<5.2f}{wrong}",
            flush=True,
        )


if __name__ == "__main__":
    main()
