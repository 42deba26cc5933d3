"""Stage 13: what scores pictures, in float16 for other programs, with how far each can be trusted.

`world/clip` is the CLIP of stage 12 in the layout of transformers, `world/judge` the judge of stage 8, described layer by layer. Both
are read back from float16 before they are measured. `scorer.safetensors` has what they, and the segmenter of the package, say
about four scenes of the dataset: golden values for implementations in other languages.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

import dataset
import identity
import metrics
import scorer
import segmenter
import settings
import world
from adapter import normalized
from package import PACKAGE, halved
from text import token_ids

FIXTURE = settings.BUILD / "scorer.safetensors"
GOLDEN = 4  # scenes
SPELT_OUT = {  # what transformers leaves out of a whole CLIP's config.json because it is the default; readers elsewhere have other defaults
    "text_config": ("hidden_act", "layer_norm_eps", "max_position_embeddings"),
    "vision_config": ("hidden_act", "layer_norm_eps", "num_channels"),
}
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


def kind_name(place: world.World, noun: str, kind: int) -> str:
    style, tint = identity.KINDS[kind]
    return dataset.subject_name(place, world.Identity(noun, place.sprites[noun][style], tint))


def describe_judge(judge: identity.Judge, place: world.World) -> dict:
    """What a program needs to run the judge: its layers in order, with their tensors, and its classes in the order of its outputs."""
    layers = [{"type": "pixel_unshuffle", "factor": 2}]
    for number, block in enumerate(judge.blocks):
        if number:
            layers.append({"type": "max_pool2d", "kernel": 2, "stride": 2})
        for k, layer in enumerate(block):
            tensors = f"blocks.{number}.{k}"
            if isinstance(layer, torch.nn.Conv2d):
                size = {"in": layer.in_channels, "out": layer.out_channels, "kernel": 3, "padding": 1}
                layers.append({"type": "conv2d", "tensors": tensors, **size})
            elif isinstance(layer, torch.nn.GroupNorm):
                size = {"groups": layer.num_groups, "channels": layer.num_channels, "eps": layer.eps}
                layers.append({"type": "group_norm", "tensors": tensors, **size})
            else:
                layers.append({"type": "silu"})
    layers.append({"type": "flatten", "order": ["channel", "row", "column"]})
    layers.append({"type": "linear", "tensors": "out", "in": judge.out.in_features, "out": judge.out.out_features})
    layers.append({"type": "unflatten", "shape": [len(world.NOUNS), len(identity.KINDS)], "axes": ["noun", "kind"]})
    return {
        "architecture": "recipe/identity.py",
        "input": {
            "shape": ["batch", 3, world.SIZE, world.SIZE],
            "range": [0.0, 1.0],
            "content": "one object alone on white, enlarged or reduced (bilinear, antialiased) so that its longest side is `longest`, centred",
            "longest": metrics.LONGEST,
            "smallest_object": metrics.FOUND,
        },
        "layers": layers,
        "nouns": world.NOUNS,
        "styles": [place.style_of[s] for s in place.sprites[world.NOUNS[0]]],
        "tints": world.TINT_NAMES,
        "classes": [[kind_name(place, noun, kind) for kind in range(len(identity.KINDS))] for noun in world.NOUNS],
    }


def write(folder: Path, place: world.World) -> None:
    for part in ("clip", "judge"):
        shutil.rmtree(folder / part, ignore_errors=True)
    model = CLIPModel.from_pretrained(scorer.FOLDER).half()
    model.save_pretrained(folder / "clip")
    shutil.copy(scorer.FOLDER / "preprocessor_config.json", folder / "clip")
    for name in TOKENIZER_FILES:
        shutil.copy(settings.MODEL / "tokenizer" / name, folder / "clip")
    config = folder / "clip" / "config.json"
    entries = json.loads(config.read_text())
    entries.pop("_name_or_path", None)  # a path of the machine that trained it
    for part, fields in SPELT_OUT.items():
        entries[part] |= {field: getattr(getattr(model.config, part), field) for field in fields}
    config.write_text(json.dumps(entries, indent=2) + "\n")
    judge = identity.load()
    (folder / "judge").mkdir()
    save_file(halved(judge.state_dict()), folder / "judge" / "model.safetensors", metadata={"format": "pt"})
    (folder / "judge" / "config.json").write_text(json.dumps(describe_judge(judge, place), indent=1) + "\n")


class Instruments:
    """The written instruments, computing in float32."""

    def __init__(self, folder: Path = dataset.FOLDER, package: Path = PACKAGE) -> None:
        upcast = lambda path: {name: value.float() for name, value in load_file(path).items()}
        self.scorer = scorer.Scorer(folder / "clip")
        self.judge, self.oracle = identity.Judge().eval(), segmenter.Segmenter().eval()
        self.judge.load_state_dict(upcast(folder / "judge" / "model.safetensors"))
        self.oracle.load_state_dict(upcast(package / "segmenter" / "model.safetensors"))


@torch.no_grad()
def golden(instruments: Instruments, folder: Path) -> tuple[dict, dict]:
    """Tensors and what they are of, for the first scenes of the dataset. Embeddings are as projected, not of unit length."""
    scenes = folder / "scenes"
    rows = [json.loads(line) for line in (scenes / "scenes.jsonl").read_text().splitlines()[:GOLDEN]]
    read = lambda name: torch.from_numpy(np.array(Image.open(scenes / name)))
    pictures = torch.stack([read(row["image"]) for row in rows])
    images = pictures.permute(0, 3, 1, 2).float() / 255
    captions, objects = [row["caption"] for row in rows], [row["objects"] for row in rows]
    cut_out = lambda image, its: torch.stack([metrics.cut_out(image, read(one["mask"]) > 0) for one in its])
    cut_outs = torch.stack([cut_out(image, its) for image, its in zip(images, objects)])
    ids, model = token_ids(instruments.scorer.tokens, captions), instruments.scorer.clip
    tensors = {
        "pictures": pictures,
        "input_ids": ids,
        "image_embeds": model.get_image_features(normalized(images)),
        "text_embeds": model.get_text_features(ids),
        "logits_per_image": model(input_ids=ids, pixel_values=normalized(images)).logits_per_image,
        "labels": segmenter.areas(instruments.oracle, images)[0].to(torch.uint8),
        "cut_outs": cut_outs,
        "judge_logits": instruments.judge(cut_outs.flatten(0, 1)).unflatten(0, cut_outs.shape[:2]),
    }
    described = {"captions": json.dumps(captions), "objects": json.dumps([[one["phrase"] for one in its] for its in objects])}
    return {name: value.contiguous() for name, value in tensors.items()}, described


def main() -> None:
    torch.set_num_threads(settings.PROCESSES)
    place, folder, count = world.World(), dataset.FOLDER, 32 if settings.QUICK else 400
    write(folder, place)
    instruments = Instruments()
    tensors, described = golden(instruments, folder)
    save_file(tensors, FIXTURE, metadata=described)
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    result = {
        "text": scorer.text_accuracy(instruments.scorer, place, count),
        "reference": scorer.reference_accuracy(instruments.scorer, place, count),
        "judge": identity.accuracy(instruments.judge, instruments.oracle, vae, place, count),
    }
    (settings.BUILD / "instruments.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
