"""Golden outputs of diffusers' UNet2DConditionModel on tiny models.

    python unet_golden.py OUT_DIR        (torch 2.6, diffusers 0.32.2, one thread)

Weights and inputs are not stored: both sides compute them from their names (see `values`), so a case is its
configuration, its parameters and the expected output. The tolerance is 30 times the deviation of the f32 run from an f64
run, at least 1e-5 of the largest value.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.numpy import save_file


def values(name, shape):
    """Uniform numbers in -1..1 from splitmix64, seeded by FNV-1a of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return unit.reshape(shape)


def weight(name, shape):
    """Norm scales around 1, biases around 0, everything else by its fan-in."""
    unit = values(name, shape)
    if len(shape) == 1:
        return unit * np.float32(0.25) + np.float32(1.0 if name.endswith("weight") else 0.0)
    return unit * np.float32(1.5 / np.sqrt(np.prod(shape[1:])))


SD15 = dict(
    block_out_channels=[8, 8, 16, 16], attention_head_dim=4, cross_attention_dim=12, norm_num_groups=4,
    layers_per_block=2, sample_size=16,
    down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
)
SDXL = dict(
    block_out_channels=[8, 12, 16], attention_head_dim=[1, 2, 4], cross_attention_dim=20, norm_num_groups=4,
    layers_per_block=2, use_linear_projection=True, transformer_layers_per_block=[1, 2, 3],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    addition_embed_type="text_time", addition_time_embed_dim=6, projection_class_embeddings_input_dim=48,
)
CASES = {
    "sd15": (SD15, dict(size=[2, 16, 16], timestep=981.0)),
    "sd15_odd": (SD15, dict(size=[1, 13, 22], timestep=1.0)),
    "sdxl": (SDXL, dict(size=[2, 8, 8], timestep=499.5)),
    "sdxl_odd": (SDXL, dict(size=[1, 17, 6], timestep=999.0)),
    # Lists for everything that may be one, an inner width that is not the block's, other activation and embedding.
    "asymmetric": (
        dict(
            block_out_channels=[10, 20, 10], attention_head_dim=[2, 3, 5], cross_attention_dim=7, norm_num_groups=5,
            layers_per_block=[1, 2, 1], norm_eps=1e-3, act_fn="gelu", flip_sin_to_cos=False, freq_shift=1,
            time_embedding_dim=24, in_channels=9, out_channels=3, conv_in_kernel=5, conv_out_kernel=1,
            only_cross_attention=[True, False, False], mid_block_type="UNetMidBlock2D",
            transformer_layers_per_block=[[1], [1, 2], [0]],
            reverse_transformer_layers_per_block=[[1, 1], [2, 0, 1], 2],
            down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        ),
        dict(size=[1, 7, 10], timestep=250.25),
    ),
    # Two levels without a middle, guidance scale as an input; odd channels end the sinusoids in a zero.
    "guided": (
        dict(
            block_out_channels=[9, 18], attention_head_dim=3, cross_attention_dim=[6, 6], norm_num_groups=3,
            layers_per_block=1, mid_block_type=None, time_cond_proj_dim=11, upcast_attention=True,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        ),
        dict(size=[2, 5, 9], timestep=759.0, guidance_scale=8.0),
    ),
}


def guidance_embedding(scale, dim):
    """`get_guidance_scale_embedding` of diffusers' latent consistency pipeline."""
    w = torch.tensor([scale - 1.0]) * 1000.0
    half = dim // 2
    emb = torch.exp(torch.arange(half, dtype=torch.float32) * -(torch.log(torch.tensor(10000.0)) / (half - 1)))
    emb = w[:, None] * emb[None, :]
    emb = torch.cat([torch.sin(emb), torch.cos(emb)], dim=1)
    return torch.nn.functional.pad(emb, (0, dim % 2))


def inputs(config, params):
    batch, height, width = params["size"]
    context = config["cross_attention_dim"]
    context = context if isinstance(context, int) else context[0]
    out = {
        "sample": values("latents", (batch, config.get("in_channels", 4), height, width)),
        "encoder_hidden_states": values("context", (batch, 7, context)),
    }
    if "addition_embed_type" in config:
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        out["text_embeds"] = values("pooled", (batch, pooled))
        ids = [[512.0, 768.0, 16.0 * row, 0.0, 1024.0, 1024.0] for row in range(batch)]
        out["time_ids"] = np.array(ids, dtype=np.float32)
    return {name: torch.from_numpy(array) for name, array in out.items()}


@torch.no_grad()
def run(model, config, params, dtype):
    model = model.to(dtype)
    tensors = {name: tensor.to(dtype) for name, tensor in inputs(config, params).items()}
    added = {name: tensors.pop(name) for name in ("text_embeds", "time_ids") if name in tensors}
    cond = None
    if "guidance_scale" in params:
        cond = guidance_embedding(params["guidance_scale"], config["time_cond_proj_dim"]).to(dtype)
    return model(timestep=params["timestep"], timestep_cond=cond, added_cond_kwargs=added or None, **tensors).sample


def main(out_dir):
    torch.set_num_threads(1)
    for name, (config, params) in CASES.items():
        model = UNet2DConditionModel(**config).eval()
        state = {key: torch.from_numpy(weight(key, tuple(t.shape))) for key, t in model.state_dict().items()}
        model.load_state_dict(state)
        out = run(model, config, params, torch.float32).numpy()
        exact = run(model, config, params, torch.float64).numpy()
        deviation = float(np.abs(out - exact).max())
        atol = max(30 * deviation, 1e-5 * float(np.abs(out).max()), 1e-6)
        case = dict(
            config={"_class_name": "UNet2DConditionModel", **config}, **params, atol=float(f"{atol:.2g}"),
            sites=[key.removesuffix(".processor") for key in model.attn_processors],
        )
        (out_dir / f"{name}.json").write_text(json.dumps(case) + "\n")
        save_file({"out": out}, out_dir / f"{name}.safetensors")
        print(name, out.shape, f"absmax {np.abs(out).max():.3f} std {out.std():.3f} f64 {deviation:.2e} atol {atol:.2e}")


main(Path(sys.argv[1]))
