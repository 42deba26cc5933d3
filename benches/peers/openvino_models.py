"""Whole models in OpenVINO, in turns with ours, on the same weights.

    python -m venv /tmp/ov
    /tmp/ov/bin/pip install openvino==2026.4.1 torch==2.6.0 diffusers==0.32.2 transformers==4.48.3 safetensors numpy
    /tmp/ov/bin/python benches/peers/openvino_models.py MODEL [--dtype f32|bf16] [--threads 2] [--rounds 3] [--binary PATH]

MODEL is `sd15`, `sdxl`, `vae` or `flux` (one double and one single block). The first run (or `--prepare`) makes a random model with diffusers, writes
its weights and inputs to `--scratch`, which both sides read, and has OpenVINO convert it with fixed shapes; later runs only need the files.
OpenVINO runs with one stream, `--threads` threads and `INFERENCE_PRECISION_HINT` of `--dtype`, in a process of its own. With `--apart` each round
starts and ends both processes one after the other, for models of which two do not fit into memory: each runs once more for its caches then. Prints the best time of each side, their ratio,
the range of the ratios of the rounds, the deviation of the outputs, and the peaks of resident memory.

Its UNets are plain: text only. Ours are asked for each of `--work`; with an adapter or Conceptrol ours does more.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", choices=["sd15", "sdxl", "vae", "flux"])
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--work", nargs="*", default=["text", "conceptrol"], help="of a UNet: text, adapter, conceptrol")
parser.add_argument("--edge", type=int, help="of the picture, in pixels; 512, for SDXL 1024")
parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "conceptrol-openvino")
parser.add_argument("--prepare", action="store_true", help="write the files and stop")
parser.add_argument("--binary", help="the built benchmark, instead of building it")
parser.add_argument("--apart", action="store_true", help="only one side in memory at a time")
parser.add_argument("--alone", action="store_true", help="only OpenVINO")
args = parser.parse_args()

import numpy as np  # noqa: E402
from built import benchmark  # noqa: E402

EDGE = args.edge or (1024 if args.model == "sdxl" else 512)
TEXT, IMAGE = 77, 16
FOLDER = args.scratch / (args.model if EDGE == 512 else f"{args.model}-{EDGE}")
SD15 = dict(
    sample_size=64,
    cross_attention_dim=768,
    attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)
SDXL = dict(
    sample_size=128,
    cross_attention_dim=2048,
    attention_head_dim=(5, 10, 20),
    block_out_channels=(320, 640, 1280),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 10),
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
VAE = dict(
    block_out_channels=(128, 256, 512, 512),
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    layers_per_block=2,
    latent_channels=4,
)


def prepare():
    """Writes the weights, the inputs and what OpenVINO makes of the model."""
    import openvino as ov
    import torch
    from diffusers import AutoencoderKL, FluxTransformer2DModel, UNet2DConditionModel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    side = EDGE // 8

    class Call(torch.nn.Module):
        """A model as a function of tensors."""

        def __init__(self, model, function):
            super().__init__()
            self.model, self.function = model, function

        def forward(self, *inputs):
            return self.function(self.model, *inputs)

    if args.model in ("sd15", "sdxl"):
        config = SD15 if args.model == "sd15" else SDXL
        context = config["cross_attention_dim"]
        model = UNet2DConditionModel(**config).eval()
        model.save_pretrained(FOLDER / "unet")
        states = model.state_dict()
        sites = [name.removesuffix(".processor") for name in model.attn_processors if "attn2" in name]
        adapter = {f"{site}.{part}": torch.randn(states[f"{site}.to_k.weight"].shape[0], context) / context**0.5
                   for site in sites for part in ("to_k_ip", "to_v_ip")}
        save_file(adapter, FOLDER / "adapter.safetensors")
        inputs = {"latents": torch.randn(1, 4, side, side).repeat(2, 1, 1, 1), "text": torch.randn(2, TEXT, context)}
        others = {"image": torch.randn(2, IMAGE, context)}
        if args.model == "sdxl":
            inputs |= {"pooled": torch.randn(2, 1280), "time_ids": torch.tensor([[EDGE, EDGE, 0, 0, EDGE, EDGE]] * 2).float()}

        def function(model, latents, text, *added):
            added = dict(zip(("text_embeds", "time_ids"), added))
            return model(latents, torch.tensor(500.0), text, added_cond_kwargs=added, return_dict=False)[0]

    elif args.model == "vae":
        model = AutoencoderKL(**VAE).eval()
        model.save_pretrained(FOLDER / "vae")
        inputs, others = {"latents": torch.randn(1, 4, side, side)}, {}
        function = lambda model, latents: model.decode(latents, return_dict=False)[0]  # noqa: E731
    else:
        model = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.dim() == 2:
                    p.normal_(std=0.7 / p.shape[1] ** 0.5)
                else:
                    p.normal_(mean=1.0 if ".norm_" in name else 0.0, std=0.1)
        model.save_pretrained(FOLDER)
        side = EDGE // 16
        inputs = {"hidden_states": torch.randn(1, side * side, 64), "encoder_hidden_states": torch.randn(1, 512, 4096),
                  "pooled_projections": torch.randn(1, 768)}
        others = {}
        row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        ids = torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).float()

        def function(model, latents, text, pooled):
            return model(latents, text, pooled, torch.tensor([0.75]), ids, torch.zeros(512, 3), torch.tensor([3.5]), return_dict=False)[0]

    save_file(inputs | others, FOLDER / "inputs.safetensors")
    example = tuple(inputs.values())
    call = Call(model, function)
    with torch.inference_mode():
        np.save(FOLDER / "expected.npy", call(*example).numpy())
        converted = ov.convert_model(call, example_input=example, input=[tuple(x.shape) for x in example])
    ov.save_model(converted, FOLDER / "openvino.xml", compress_to_fp16=False)


def serve_openvino(connection):
    """Answers each message with seconds, the output and the peak of resident memory."""
    import openvino as ov
    from safetensors.numpy import load_file

    settings = {"INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": args.dtype}
    model = ov.Core().compile_model(FOLDER / "openvino.xml", "CPU", settings)
    saved = load_file(FOLDER / "inputs.safetensors")
    shown = {"sd15": ["latents", "text"], "sdxl": ["latents", "text", "pooled", "time_ids"], "vae": ["latents"]}
    names = shown.get(args.model, ["hidden_states", "encoder_hidden_states", "pooled_projections"])
    inputs = [saved[name] for name in names]
    while connection.recv():
        start = time.perf_counter()
        out = model(inputs)[0]
        connection.send((time.perf_counter() - start, out, resident()))


class OpenVino:
    def __init__(self):
        self.connection, other = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=serve_openvino, args=(other,))
        self.process.start()
        other.close()  # so that a process that dies is an error here, not a wait for ever

    def run(self, _):
        self.connection.send(True)
        return self.connection.recv()

    def stop(self):
        self.connection.send(False)
        self.process.join()


class Ours:
    """The benchmark as a process that answers requests with `SECONDS PEAK` and an output file."""

    def __init__(self):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        command = [args.binary or benchmark("model_peer"), FOLDER, args.dtype]
        self.process = subprocess.Popen([str(part) for part in command], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def run(self, request):
        print(request, file=self.process.stdin, flush=True)
        seconds, peak = map(float, self.process.stdout.readline().split()[:2])
        return seconds, np.fromfile(FOLDER / "output.bin", "<f4"), peak

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Side:
    """One of both, started when it is asked first; with `--apart` it ends after each round."""

    def __init__(self, start, works):
        self.start, self.works, self.running = start, works, None
        self.times, self.outputs, self.peak = {work: [] for work in works}, {}, 0

    def round(self):
        if self.running is None:
            self.running = self.start()
            if args.apart:
                self.running.run(self.works[0])
        for work in self.works:
            seconds, self.outputs[work], peak = self.running.run(work)
            self.times[work].append(seconds)
            self.peak = max(self.peak, peak)
            print(f", {work} {seconds:.3f}", end="", flush=True)
        if args.apart:
            self.stop()

    def stop(self):
        if self.running is not None:
            self.running.stop()
            self.running = None


def resident():
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main():
    if args.prepare or not (FOLDER / "openvino.bin").exists():
        prepare()
        if args.prepare:
            return
    theirs = Side(OpenVino, ["OpenVINO"])
    works = args.work if args.model in ("sd15", "sdxl") else ["run"]
    ours = Side(Ours, [] if args.alone else works)
    sides = [theirs] if args.alone else [theirs, ours]
    expected = np.load(FOLDER / "expected.npy").ravel()
    warming = 0 if args.apart else 1  # rounds that fill caches
    for round in range(args.rounds + warming):
        print(f"round {round}", end="", flush=True)
        for side in sides:
            side.round()
        print()
    for side in sides:
        side.stop()
    off = lambda x: np.abs(x.ravel() - expected).max()  # noqa: E731
    their_times = theirs.times["OpenVINO"][warming:]
    print(f"{args.model} {args.dtype} {EDGE}x{EDGE}, {args.threads} threads: OpenVINO {min(their_times):.3f} s, {theirs.peak / 1e9:.2f} GB, "
          f"off PyTorch's f32 by {off(theirs.outputs['OpenVINO']):.1e} of {np.abs(expected).max():.2f}")
    for work, times in ours.times.items():
        times = times[warming:]
        ratios = sorted(a / b for a, b in zip(times, their_times))
        plain = work in ("text", "run")
        print(f"{work:<12} {min(times):.3f} s, ratio {min(times) / min(their_times):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), {ours.peak / 1e9:.2f} GB"
              + (f", off by {off(ours.outputs[work]):.1e}" if plain else ""))


if __name__ == "__main__":
    main()
