"""Guided steps of a full-size SD1.5 UNet in PyTorch, in turns with ours, on the same weights.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch==2.6.0 diffusers==0.32.2 transformers==4.48.3 numpy
    /tmp/peers/bin/python benches/peers/unet_step.py [--threads 2] [--rounds 3] [--dtype f32|bf16] [--reference CHECKOUT]

Writes random weights (3.4 GB) and inputs to `--scratch` once; both sides read them. Compared in turns: loading the UNet from the
page cache (PyTorch maps the file and reads it in the first step, so both sides also add up every weight; a process of its own each
time), a step without adapter, with IP-Adapter plus, and with Conceptrol. PyTorch's attention is its fused one
(`AttnProcessor2_0`); with `--reference`, a checkout of github.com/QY-H00/Conceptrol, Conceptrol's peer is the authors' processor,
else there is none and ours is compared with PyTorch's plain adapter. Prints the best times, their ratio, the range of the ratios
of the rounds, and the peak of resident memory of each process. `bf16` is autocast in PyTorch, 16-bit weights here.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--edge", type=int, default=512, help="of the picture, in pixels")
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--reference", type=Path, help="a checkout of the authors' code")
parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "conceptrol-peers")
parser.add_argument("--binary", help="a built `unet_peer`, instead of building it")
args = parser.parse_args()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from diffusers import UNet2DConditionModel  # noqa: E402
from diffusers.models.attention_processor import AttnProcessor2_0  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

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


def last_line(command):
    """The three numbers that a loading process prints."""
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout
    return map(float, out.split("\n")[-2].split())


class Theirs:
    def __init__(self, folder):
        self.folder, self.peak = folder, {}
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
        """Seconds and the mean absolute output, or the sum of the weights."""
        if request == "load":
            seconds, bytes_, total = last_line([sys.executable, "-c", LOAD, str(self.folder / "unet"), str(args.threads)])
            return self.note(request, bytes_, seconds, total)
        reset_peak()
        self.unet.set_attn_processor(dict(self.processors[request]))
        text = self.inputs["text"]
        states = text if request == "text" else torch.cat([text, self.inputs["image"]], 1)
        half = torch.autocast("cpu", torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext()
        start = time.perf_counter()
        with torch.inference_mode(), half:
            out = self.unet(self.inputs["latents"], 500, states).sample
        return self.note(request, peak(), time.perf_counter() - start, out.double().abs().mean().item())

    def note(self, request, bytes_, seconds, result):
        self.peak[request] = max(bytes_, self.peak.get(request, 0))
        return seconds, result


class Ours:
    def __init__(self, folder):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        self.command = [args.binary or build(), str(folder), args.dtype]
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.peak = {}

    def run(self, request):
        if request == "load":
            seconds, bytes_, result = last_line([*self.command, "load"])
        else:
            print(request, file=self.process.stdin, flush=True)
            seconds, bytes_, result = map(float, self.process.stdout.readline().split())
        self.peak[request] = max(bytes_, self.peak.get(request, 0))
        return seconds, result


def build():
    """Builds the benchmark and gives the path of its binary."""
    root = Path(__file__).resolve().parent.parent.parent
    command = ["cargo", "bench", "-p", "conceptrol-benches", "--bench", "unet_peer", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [path for path in (json.loads(line).get("executable") for line in lines) if path][-1]


def reset_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Bytes; of the whole process where the mark cannot be reset."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    args.scratch.mkdir(parents=True, exist_ok=True)
    write_files(args.scratch)
    theirs, ours = Theirs(args.scratch), Ours(args.scratch)
    plans = {"load": "load", "text": "text", "adapter": "adapter", "conceptrol": "conceptrol" if args.reference else "adapter"}
    times = {name: ([], []) for name in plans}
    means = {}
    for round_ in range(args.rounds + 1):  # the first fills caches
        for name, peer in plans.items():
            their_time, their_mean = theirs.run(peer)
            our_time, our_mean = ours.run(name)
            if round_:
                times[name][0].append(their_time)
                times[name][1].append(our_time)
                means[name] = their_mean, our_mean
    print(f"torch {torch.__version__}, {args.threads} threads, {args.dtype}, {args.edge}x{args.edge}, {args.rounds} rounds")
    print(f"{'work':<12} {'peer':<12} {'torch s':>8} {'ours s':>8} {'ratio':>6} {'range':>13} {'torch GB':>9} {'ours GB':>8}")
    for name, (their_times, our_times) in times.items():
        ratios = sorted(a / b for a, b in zip(our_times, their_times))
        a, b = means[name]
        same_work = name != "load" and (name != "conceptrol" or args.reference)
        wrong = "" if not same_work or abs(a - b) <= (1e-4 if args.dtype == "f32" else 2e-2) * abs(a) else f"  OUTPUTS DIFFER: {a} {b}"
        print(f"{name:<12} {plans[name]:<12} {min(their_times):>8.2f} {min(our_times):>8.2f} {min(our_times) / min(their_times):>6.2f}"
              f"  {ratios[0]:>5.2f}-{ratios[-1]:<5.2f} {theirs.peak[plans[name]] / 1e9:>9.2f} {ours.peak[name] / 1e9:>8.2f}{wrong}")
    own = [a / b for a, b in zip(times["conceptrol"][1], times["adapter"][1])]
    print(f"Conceptrol over our own adapter: time {sorted(own)[len(own) // 2]:.3f} (median of rounds), "
          f"memory {ours.peak['conceptrol'] / ours.peak['adapter']:.3f}")


if __name__ == "__main__":
    main()
