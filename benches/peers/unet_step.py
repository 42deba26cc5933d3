"""Guided steps of a full-size SD1.5 UNet in PyTorch, in turns with ours, on the same weights.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch==2.6.0 diffusers==0.32.2 transformers==4.48.3 numpy
    /tmp/peers/bin/python benches/peers/unet_step.py [--threads 2] [--rounds 3] [--dtype f32|bf16] [--reference CHECKOUT]
        [--candle] [--work load|map|text|adapter|conceptrol ...]

Writes random weights (3.4 GB) and inputs to `--scratch` once; both sides read them. Compared in turns: loading the UNet from the
page cache (PyTorch maps the file and reads it in the first step, so both sides also add up every weight, in a process of its own; `load`
reads ours, `map` maps ours, too), a
step without adapter, with IP-Adapter plus, and with Conceptrol. PyTorch's attention is its fused one
(`AttnProcessor2_0`); with `--reference`, a checkout of github.com/QY-H00/Conceptrol, Conceptrol's peer is the authors' processor,
else there is none and ours is compared with PyTorch's plain adapter. Prints the best times, their ratio, the range of the ratios
of the rounds, and the peak of resident memory of each process. `bf16` is autocast in PyTorch, 16-bit weights here. With
`--candle`, the step without adapter is also compared with that of candle-transformers (`candle/`, built here with
`-Ctarget-cpu=native`), before PyTorch's model is in memory; that its GELU is the tanh approximation
moves the mean of the output by less than 1e-6.
"""

import argparse
import contextlib
import importlib.util
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

WORK = ["load", "map", "text", "adapter", "conceptrol"]
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--edge", type=int, default=512, help="of the picture, in pixels")
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--reference", type=Path, help="a checkout of the authors' code")
parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "conceptrol-peers")
parser.add_argument("--candle", action="store_true", help="compare with candle-transformers, too")
parser.add_argument("--work", nargs="*", choices=WORK, default=WORK, help="compared with PyTorch; all if absent")
parser.add_argument("--binary", help="a built `unet_peer`, instead of building it")
args = parser.parse_args()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from diffusers import UNet2DConditionModel  # noqa: E402
from diffusers.models.attention_processor import AttnProcessor2_0  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from built import PEERS, benchmark, build  # noqa: E402

torch.set_num_threads(args.threads)
TEXT, IMAGE, CONTEXT = 77, 16, 768
WORDS = [3, 5]  # as in `unet_peer.rs`
CONCEPT_SITE = "up_blocks.1.attentions.0.transformer_blocks.0.attn2"
SD15 = dict(
    sample_size=64,
    cross_attention_dim=CONTEXT,
    attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)


def cross_sites(unet):
    """Site name and hidden size of every cross-attention."""
    states = unet.state_dict()
    names = [name.removesuffix(".processor") for name in unet.attn_processors if "attn2" in name]
    return {name: states[f"{name}.to_k.weight"].shape[0] for name in names}


def write_files(folder):
    torch.manual_seed(0)
    if not (folder / "unet" / "diffusion_pytorch_model.safetensors").exists():
        UNet2DConditionModel(**SD15).save_pretrained(folder / "unet")
    with torch.device("meta"):
        sites = cross_sites(UNet2DConditionModel(**SD15))
    adapter = {f"{site}.{part}": torch.randn(hidden, CONTEXT) / CONTEXT**0.5
               for site, hidden in sites.items() for part in ("to_k_ip", "to_v_ip")}
    save_file(adapter, folder / "adapter.safetensors")
    side = args.edge // 8
    inputs = {"latents": torch.randn(1, 4, side, side).repeat(2, 1, 1, 1),
              "text": torch.randn(2, TEXT, CONTEXT), "image": torch.randn(2, IMAGE, CONTEXT)}
    save_file(inputs, folder / "inputs.safetensors")


class ImageAttention(torch.nn.Module):
    """The plain adapter on PyTorch's fused attention."""

    def __init__(self, key, value):
        super().__init__()
        self.key, self.value = key, value

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        text, image = encoder_hidden_states.split([TEXT, IMAGE], 1)
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
        query = split(attn.to_q(hidden_states))
        out = F.scaled_dot_product_attention(query, split(attn.to_k(text)), split(attn.to_v(text)))
        keys, values = F.linear(image, self.key), F.linear(image, self.value)
        out = out + F.scaled_dot_product_attention(query, split(keys), split(values))
        return attn.to_out[0](out.transpose(1, 2).flatten(2).to(hidden_states.dtype))


def authors_processors(adapter, sites):
    """The authors' processors with the adapter's weights, their masks forgotten."""
    spec = importlib.util.spec_from_file_location("theirs", args.reference / "ip_adapter" / "attention_processor.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    made = {}
    for site, hidden in sites.items():
        processor = theirs.ConceptrolAttnProcessor(
            hidden, CONTEXT, num_tokens=IMAGE, textual_concept_idxs=[WORDS], name=f"{site}.processor",
            global_masking=True, concept_mask_layer=[f"{CONCEPT_SITE}.processor"],
        )
        processor.to_k_ip.weight.data = adapter[f"{site}.to_k_ip"]
        processor.to_v_ip.weight.data = adapter[f"{site}.to_v_ip"]
        made[f"{site}.processor"] = processor
    return made, theirs.AttnProcessor


LOAD = """
import sys, time, torch
from diffusers import UNet2DConditionModel
torch.set_num_threads(int(sys.argv[2]))
start = time.perf_counter()
unet = UNet2DConditionModel.from_pretrained(sys.argv[1])
total = sum(parameter.sum().item() for parameter in unet.parameters())
status = open("/proc/self/status").read()
print(time.perf_counter() - start, 1024 * int(status.split("VmHWM:")[1].split()[0]), total)
"""


def load(*command):
    """What a process that loads the UNet and adds up its weights prints: seconds, bytes at the peak, the sum."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    command = [str(part) for part in command]
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
    return tuple(map(float, out.splitlines()[-1].split()))


class Theirs:
    def __init__(self, folder):
        self.folder = folder
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
        files = load_file(folder / "adapter.safetensors"), load_file(folder / "inputs.safetensors")
        adapter, self.inputs = files
        sites, names = cross_sites(self.unet), self.unet.attn_processors
        fused = {name: AttnProcessor2_0() for name in names}
        plain = dict(fused)
        for site in sites:
            plain[f"{site}.processor"] = ImageAttention(adapter[f"{site}.to_k_ip"], adapter[f"{site}.to_v_ip"])
        self.processors = {"text": fused, "adapter": plain}
        if args.reference:
            crossed, own = authors_processors(adapter, sites)
            self.processors["conceptrol"] = {name: own() for name in names} | crossed

    def run(self, request):
        """Seconds, bytes at the peak and the mean absolute output."""
        reset_peak()
        self.unet.set_attn_processor(dict(self.processors[request]))
        text = self.inputs["text"]
        states = text if request == "text" else torch.cat([text, self.inputs["image"]], 1)
        half = torch.autocast("cpu", torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext()
        start = time.perf_counter()
        with torch.inference_mode(), half:
            out = self.unet(self.inputs["latents"], 500, states).sample
        return time.perf_counter() - start, peak(), out.double().abs().mean().item()


class Rust:
    """A process that answers requests: ours, or candle's."""

    def __init__(self, *command):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def run(self, request):
        print(request, file=self.process.stdin, flush=True)
        return tuple(map(float, self.process.stdout.readline().split()))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def build_candle():
    return build(PEERS / "candle", "build", "--release", "--locked", flags="-Ctarget-cpu=native")


def reset_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Bytes; of the whole process where the mark cannot be reset."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Comparison:
    """One kind of work, by a peer and by ours. Answers are triples: seconds, bytes at the peak, mean absolute output."""

    def __init__(self, work, peer, theirs, ours, tolerance):
        self.work, self.peer, self.theirs, self.ours, self.tolerance = work, peer, theirs, ours, tolerance
        self.rounds = []

    def round(self):
        self.rounds.append((self.theirs(), self.ours()))

    def times(self, side):
        return [pair[side][0] for pair in self.rounds[1:]]  # the first fills caches

    def peak(self, side):
        return max(pair[side][1] for pair in self.rounds)

    def __str__(self):
        theirs, ours = self.times(0), self.times(1)
        ratios = sorted(b / a for a, b in zip(theirs, ours))
        a, b = (answer[2] for answer in self.rounds[-1])
        wrong = "" if abs(a - b) <= self.tolerance * abs(a) else f"  OUTPUTS DIFFER: {a} {b}"
        return (f"{self.work:<12} {self.peer:<12} {min(theirs):>8.2f} {min(ours):>8.2f} {min(ours) / min(theirs):>6.2f}"
                f"  {ratios[0]:>5.2f}-{ratios[-1]:<5.2f} {self.peak(0) / 1e9:>9.2f} {self.peak(1) / 1e9:>8.2f}{wrong}")


def run(comparisons):
    for _ in range(args.rounds + 1):
        for comparison in comparisons:
            comparison.round()
    print(*comparisons, sep="\n", flush=True)


def main():
    args.scratch.mkdir(parents=True, exist_ok=True)
    write_files(args.scratch)
    ours = Rust(args.binary or benchmark("unet_peer"), args.scratch, args.dtype)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.dtype}, {args.edge}x{args.edge}, {args.rounds} rounds")
    print(f"{'work':<12} {'peer':<12} {'peer s':>8} {'ours s':>8} {'ratio':>6} {'range':>13} {'peer GB':>9} {'ours GB':>8}", flush=True)
    near = 1e-4 if args.dtype == "f32" else 2e-2
    if args.candle:
        candle = Rust(build_candle(), args.scratch)
        run([Comparison("text", "candle", partial(candle.run, "text"), partial(ours.run, "text"), near)])
        candle.end()
    if not args.work:
        return
    ways = [work for work in ("load", "map") if work in args.work]
    if ways:
        command = args.binary or benchmark("unet_peer")
        theirs = partial(load, sys.executable, "-c", LOAD, args.scratch / "unet", args.threads)
        run([Comparison(way, "load", theirs, partial(load, command, args.scratch, args.dtype, way), math.inf)
             for way in ways])  # sums of 860 M numbers around zero
    steps = [work for work in args.work if work not in ways]
    if not steps:
        return
    theirs = Theirs(args.scratch)
    peers = {"text": "text", "adapter": "adapter", "conceptrol": "conceptrol" if args.reference else "adapter"}
    comparisons = {
        work: Comparison(work, peers[work], partial(theirs.run, peers[work]), partial(ours.run, work),
                         near if work != "conceptrol" or args.reference else math.inf)  # not the same work
        for work in steps
    }
    run(comparisons.values())
    if {"conceptrol", "adapter"} <= comparisons.keys():
        conceptrol, adapter = comparisons["conceptrol"], comparisons["adapter"]
        own = sorted(a / b for a, b in zip(conceptrol.times(1), adapter.times(1)))
        print(f"Conceptrol over our own adapter: time {own[len(own) // 2]:.3f} (median of rounds), "
              f"memory {conceptrol.peak(1) / adapter.peak(1):.3f}")


if __name__ == "__main__":
    main()
