"""Steps of diffusers beside ours: rows for the file that the benchmarks write.

    python peer.py --json RESULTS.json [--dtype f32|f16|bf16] [--device cuda|cpu] [--rounds 5] [--small]

The same work as `unet_step` and `flux_blocks`, with random weights: a guided step of SD1.5 with text only and with the plain
IP-Adapter plus, and a double and a single block of FLUX.1 with text only, eager and compiled. Needs torch and diffusers.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import time

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--json", required=True)
parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--small", action="store_true")
parser.add_argument("--eager", action="store_true", help="do not compile")
args = parser.parse_args()

DTYPE = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[args.dtype]
DEVICE = torch.device(args.device)
ON_CARD = DEVICE.type == "cuda"
TEXT, IMAGE = 77, 16
SD15 = dict(
    sample_size=64,
    cross_attention_dim=768,
    attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)
# as `--small` of the benchmarks
SMALL = SD15 | dict(cross_attention_dim=128, block_out_channels=(64, 128, 256, 256))


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{name}, {torch.get_num_threads() if not ON_CARD else os.cpu_count()} threads"


def driver():
    try:
        with open("/proc/driver/nvidia/version") as file:
            words = file.readline().split()
        return next(word for word in words if word[0].isdigit() and "." in word)
    except (OSError, StopIteration):
        return None


def environment(compiled):
    way = "compiled" if compiled else "eager"
    return {
        "program": f"diffusers {importlib.metadata.version('diffusers')}, {way}",
        "commit": f"torch {torch.__version__}",
        "backend": DEVICE.type,
        "dtype": args.dtype,
        "device": torch.cuda.get_device_name() if ON_CARD else processor(),
        "driver": driver() if ON_CARD else None,
        "processor": processor(),
        "small": args.small,
    }


def keep(row):
    """Adds a row in the place of an older one of the same, and writes the file: a line a row."""
    rows = []
    if os.path.exists(args.json):
        with open(args.json) as file:
            rows = json.load(file)["rows"]

    def of(row):
        at = row["environment"]
        return [row["benchmark"], row["case"]] + [at[key] for key in ("program", "backend", "dtype", "device", "processor", "small")]

    rows = [old for old in rows if of(old) != of(row)] + [row]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    with open(args.json + ".part", "w") as file:
        file.write('{"rows": [\n' + lines + "\n]}\n")
    os.replace(args.json + ".part", args.json)


def finish():
    if ON_CARD:
        torch.cuda.synchronize()


def measure(benchmark, case, compiled, run):
    if ON_CARD:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    with torch.inference_mode():
        for round in range(args.rounds + 1):
            finish()
            start = time.perf_counter()
            run()
            finish()
            if round > 0:
                seconds.append(time.perf_counter() - start)
    seconds.sort()
    row = {"benchmark": benchmark, "case": case, "environment": environment(compiled)}
    row["seconds"] = {
        "rounds": len(seconds),
        "best": seconds[0],
        "median": seconds[len(seconds) // 2],
        "worst": seconds[-1],
    }
    if ON_CARD:
        row["device_peak"] = torch.cuda.max_memory_reserved()
    keep(row)
    way = "compiled" if compiled else "eager"
    print(f"{benchmark} {case} ({way}): best {1e3 * seconds[0]:.2f} ms, median {1e3 * seconds[len(seconds) // 2]:.2f} ms", flush=True)


def randn(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE)


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
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def unet_steps(compiled):
    config = SMALL if args.small else SD15
    edge = 128 if args.small else 512
    name = "small" if args.small else "SD1.5"
    unet = UNet2DConditionModel(**config).to(DEVICE, DTYPE).eval()
    context = config["cross_attention_dim"]
    fused = {name: AttnProcessor2_0() for name in unet.attn_processors}
    plain = dict(fused)
    states = unet.state_dict()
    for site in [name for name in fused if "attn2" in name]:
        hidden = states[site.removesuffix("processor") + "to_k.weight"].shape[0]
        plain[site] = ImageAttention(randn(hidden, context) / context**0.5, randn(hidden, context) / context**0.5)
    latents = randn(2, 4, edge // 8, edge // 8)
    text = randn(2, TEXT, context)
    both = torch.cat([text, randn(2, IMAGE, context)], 1)
    timestep = torch.tensor(500, device=DEVICE)
    for way, processors, states in [("text only", fused, text), ("ip-adapter plus", plain, both)]:
        unet.set_attn_processor(dict(processors))
        forward = torch.compile(unet) if compiled else unet
        measure("unet_step", f"{name} {edge}x{edge}, 1 guided: {way}", compiled, lambda: forward(latents, timestep, states, return_dict=False))  # noqa: B023


def flux_blocks(compiled):
    heads, context, pooled = (2, 256, 64) if args.small else (24, 4096, 768)
    side, text = (128, 64) if args.small else (512, 512)
    model = FluxTransformer2DModel(
        num_layers=1, num_single_layers=1, guidance_embeds=True, num_attention_heads=heads, joint_attention_dim=context, pooled_projection_dim=pooled
    ).to(DEVICE, DTYPE).eval()
    edge = side // 16
    row, column = torch.meshgrid(torch.arange(edge), torch.arange(edge), indexing="ij")
    ids = torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).to(DEVICE, torch.float32)
    inputs = dict(
        hidden_states=randn(1, edge * edge, 64),
        encoder_hidden_states=randn(1, text, context),
        pooled_projections=randn(1, pooled),
        timestep=torch.tensor([0.75], device=DEVICE, dtype=DTYPE),
        guidance=torch.tensor([3.5], device=DEVICE, dtype=torch.float32),
        img_ids=ids,
        txt_ids=torch.zeros(text, 3, device=DEVICE),
    )
    forward = torch.compile(model) if compiled else model
    measure("flux_blocks", f"a double and a single block, {side}x{side}: text only", compiled, lambda: forward(**inputs, return_dict=False))


unet_steps(compiled=False)
flux_blocks(compiled=False)
if not args.eager:
    try:
        unet_steps(compiled=True)
        flux_blocks(compiled=True)
    except Exception as error:  # a machine without a C compiler is not a failure of the run
        print(f"not compiled: {type(error).__name__}: {str(error).splitlines()[0]}")
