"""Single operations of `benches/src/operations.rs` in OpenVINO, in turns with ours: those that it has as one.

    /tmp/ov/bin/python benches/peers/openvino_operations.py [--threads 2] [--rounds 5] [--repeats 3] [--binary PATH] [FILTER]

The environment is that of `openvino_models.py`. Weights are constants of a model of one operation, so OpenVINO has them packed and ours packs
them in every call, as in a step. Prints the best time of each side, the ratio of the best, and the range of the ratios of the rounds.
"""

import argparse
import os
import subprocess
import time

import numpy as np
from built import benchmark
import openvino as ov
from openvino import opset13 as ops

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--binary", help="a built benchmark, instead of building it")
parser.add_argument("filter", nargs="?", default="")
args = parser.parse_args()

SETTINGS = {"INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}


def numbers(*shape, seed):
    """The linear congruential generator of `benches/src/numbers.rs`, all steps at once modulo 2^32."""
    n = int(np.prod(shape))
    powers = np.cumprod(np.full(n, 1664525, dtype=np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[1], powers[:-1]]).astype(np.uint32), dtype=np.uint32)
    states = powers * np.uint32(seed) + sums * np.uint32(1013904223)
    values = (states >> np.uint32(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return values.reshape(shape)


def linear(rows, d_in, d_out):
    def graph(x):
        y = ops.matmul(x, ops.constant(numbers(d_out, d_in, seed=2)), False, True)
        return ops.add(y, ops.constant(numbers(d_out, seed=3)))

    return f"linear {rows}x{d_in}x{d_out}", [(rows, d_in)], graph


def conv(c_in, c_out, side, size):
    def graph(x):
        y = ops.convolution(x, ops.constant(numbers(c_out, c_in, size, size, seed=2)), [1, 1], [size // 2] * 2, [size // 2] * 2, [1, 1])
        return ops.add(y, ops.constant(numbers(1, c_out, 1, 1, seed=3)))

    return f"conv{size}x{size} 2x{c_in}x{side}x{side} -> {c_out}", [(2, c_in, side, side)], graph


def attention(batch, h, q_len, k_len, dim):
    # heads as models have them, between two transpositions
    def graph(*inputs):
        q, k, v = (ops.transpose(x, ops.constant([0, 2, 1, 3])) for x in inputs)
        return ops.transpose(ops.scaled_dot_product_attention(q, k, v), ops.constant([0, 2, 1, 3]))

    shapes = [(batch, length, h, dim) for length in (q_len, k_len, k_len)]
    return f"attention {batch}x{h}x{q_len}x{k_len}x{dim}", shapes, graph


def image(name, graph):
    return name, [(2, 320, 64, 64)], graph


def group_norm(x):
    return ops.group_normalization(x, ops.constant(numbers(320, seed=2)), ops.constant(numbers(320, seed=3)), 32, 1e-5)


OPERATIONS = [
    *(linear(*s) for s in [(8192, 320, 320), (2048, 640, 640), (2048, 1280, 5120), (8192, 320, 2560), (2, 1280, 320)]),
    *(linear(*s) for s in [(1024, 3072, 3072), (1024, 3072, 12288), (1024, 12288, 3072)]),
    *(conv(c, c, side, 3) for c, side in [(320, 64), (640, 32), (1280, 16), (1280, 8)]),
    conv(960, 320, 64, 1),
    attention(2, 8, 4096, 4096, 40),
    attention(2, 8, 1024, 1024, 80),
    attention(2, 8, 256, 256, 160),
    attention(2, 8, 4096, 77, 40),
    attention(2, 8, 4096, 16, 40),
    attention(1, 24, 2560, 2560, 128),
    image("silu 2x320x64x64", lambda x: ops.swish(x)),
    image("group norm 2x320x64x64", group_norm),
    image("group norm + silu 2x320x64x64", lambda x: ops.swish(group_norm(x))),
    ("gelu 2x4096x2560", [(2, 4096, 2560)], lambda x: ops.gelu(x, "erf")),
    ("softmax 2x8x4096x77", [(2, 8, 4096, 77)], lambda x: ops.softmax(x, 3)),
]


def best_of(run):
    run()
    best = float("inf")
    for _ in range(args.repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def prepare(shapes, graph):
    inputs = [ops.parameter(shape, np.float32) for shape in shapes]
    model = ov.Core().compile_model(ov.Model([graph(*inputs)], inputs), "CPU", SETTINGS)
    values = [numbers(*shape, seed=seed) for seed, shape in enumerate(shapes, 1)]
    return lambda: model(values, share_inputs=True, share_outputs=True)[0]


def main():
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    binary = args.binary or benchmark("operations")
    ours = subprocess.Popen([binary, "--serve"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(f"OpenVINO {ov.__version__}, {args.threads} threads, {args.rounds} rounds of {args.repeats}")
    print(f"{'operation':<46} {'theirs ms':>9} {'ours ms':>9} {'ratio':>6} {'range':>13}")
    for name, shapes, graph in OPERATIONS:
        if args.filter not in name:
            continue
        run = prepare(shapes, graph)
        theirs, mine = [], []
        for _ in range(args.rounds):
            theirs.append(best_of(run))
            ours.stdin.write(f"{args.repeats} {name}\n")
            ours.stdin.flush()
            best, _, mean = map(float, ours.stdout.readline().split())
            mine.append(best)
        expected = np.abs(run().astype(np.float64)).mean()
        ratios = [a / b for a, b in zip(mine, theirs)]
        wrong = "" if abs(mean - expected) <= 1e-4 * expected else f"  OUTPUTS DIFFER: {mean} {expected}"
        print(
            f"{name:<46} {min(theirs):>9.2f} {min(mine):>9.2f} {min(mine) / min(theirs):>6.2f}"
            f"  {min(ratios):>5.2f}-{max(ratios):<5.2f}{wrong}",
            flush=True,
        )


if __name__ == "__main__":
    main()
