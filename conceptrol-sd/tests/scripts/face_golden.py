"""FaceID plus as diffusers 0.32.2 computes it: random weights in the layout of the published files, converted by its own loader.

python face_golden.py OUT: writes face_plus.safetensors with `image_proj.*`, the inputs and the tokens of both versions.
"""
import sys
from types import SimpleNamespace

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin
from safetensors.torch import save_file

EMBEDDING, WIDTH, HEADS, DEPTH, TOKENS, STATES = 10, 64, 1, 4, 4, 20  # the loader expects this depth and number of tokens
HIDDEN = 2 * EMBEDDING  # diffusers takes the multiplier from the shapes


def state(generator):
    def weights(*shape):
        return torch.randn(shape, generator=generator) * shape[-1] ** -0.5

    def linear(name, outputs, inputs, bias=True):
        yield f"{name}.weight", weights(outputs, inputs)
        if bias:
            yield f"{name}.bias", 0.1 * torch.randn(outputs, generator=generator)

    def norm(name, width):
        yield f"{name}.weight", 1 + 0.1 * torch.randn(width, generator=generator)
        yield f"{name}.bias", 0.1 * torch.randn(width, generator=generator)

    def all_of():
        yield from linear("proj.0", HIDDEN, EMBEDDING)
        yield from linear("proj.2", TOKENS * WIDTH, HIDDEN)
        yield from norm("norm", WIDTH)
        resampler = "perceiver_resampler"
        yield from linear(f"{resampler}.proj_in", WIDTH, STATES)
        yield from linear(f"{resampler}.proj_out", WIDTH, WIDTH)
        yield from norm(f"{resampler}.norm_out", WIDTH)
        for layer in range(DEPTH):
            attention, feed_forward = (f"{resampler}.layers.{layer}.{i}" for i in (0, 1))
            yield from norm(f"{attention}.norm1", WIDTH)
            yield from norm(f"{attention}.norm2", WIDTH)
            yield from linear(f"{attention}.to_q", HEADS * 64, WIDTH, bias=False)
            yield from linear(f"{attention}.to_kv", 2 * HEADS * 64, WIDTH, bias=False)
            yield from linear(f"{attention}.to_out", WIDTH, HEADS * 64, bias=False)
            yield from norm(f"{feed_forward}.0", WIDTH)
            yield from linear(f"{feed_forward}.1", 4 * WIDTH, WIDTH, bias=False)
            yield from linear(f"{feed_forward}.3", WIDTH, 4 * WIDTH, bias=False)

    return {name: tensor.half().float() for name, tensor in all_of()}


def main(out):
    generator = torch.Generator().manual_seed(11)
    weights = state(generator)
    convert = UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers
    projection = convert(SimpleNamespace(), dict(weights)).eval()
    face = torch.randn(1, EMBEDDING, generator=generator)
    states = torch.randn(1, 7, STATES, generator=generator)
    tensors = {f"image_proj.{name}": tensor.half() for name, tensor in weights.items()}
    tensors |= {"face": face, "states": states}
    with torch.no_grad():
        for shortcut in (False, True):
            projection.clip_embeds, projection.shortcut = states[None], shortcut
            tokens = projection(face[None])
            tensors[f"expected_v{1 + shortcut}"] = tokens.reshape(1, TOKENS, WIDTH).contiguous()
    save_file(tensors, f"{out}/face_plus.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
