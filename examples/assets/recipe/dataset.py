"""Stage 11: the world as files, for programs that measure: scenes with masks, subjects, prompts and concepts, in the layout that
`../world/README.md` describes.

Every draw is seeded here, not by `$TINY_SEED`: the files are the same on every machine. Captions, masks and pictures are the recipe's
own; `prompts.jsonl` has the prompts of `evaluate.personal`, but names the concept first in one half and second in the other, because a
noun's position may decide how well its map finds it.
"""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import settings
import world
from evaluate import held_out_prompts

FOLDER = settings.BUILD / "world"
SCENES, PICTURES, PROMPTS = 100, 4, 100  # scenes, pictures of a subject, prompts
OTHERS = 3  # competing nouns at most


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def save(path: Path, picture: np.ndarray) -> str:
    """Writes [SIZE, SIZE, 3] or [SIZE, SIZE] in 0..1 as an 8-bit PNG; returns its name."""
    Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(path, optimize=True)
    return path.name


def scenes(place: world.World, folder: Path) -> list[dict]:
    """Scenes of two objects that never occur in training, objects in the order of the caption."""
    random, rows = np.random.default_rng(707), []
    folder.mkdir(parents=True)
    for number in range(SCENES):
        scene = place.scene(random, objects=2, held_out=True)
        pairs = sorted(zip(scene.identities, scene.masks), key=lambda pair: scene.caption.index(pair[0].noun))
        objects = [
            {"phrase": who.noun, "mask": save(folder / f"{number:03}.{k}.png", (mask > 0.5).astype(np.float32))}
            for k, (who, mask) in enumerate(pairs)
        ]
        rows.append({"image": save(folder / f"{number:03}.png", scene.image), "caption": scene.caption, "objects": objects})
    write_lines(folder / "scenes.jsonl", rows)
    return rows


def subject_name(place: world.World, who: world.Identity) -> str:
    return f"{who.noun}_{who.tint}_{place.style_of[who.sprite]}"


def subjects(place: world.World, folder: Path) -> list[dict]:
    """Every noun in every unusual tint, the four styles equally often. The first picture has a plain wall."""
    random, rows = np.random.default_rng(808), []
    for n, noun in enumerate(world.NOUNS):
        for t, tint in enumerate(world.TINT_NAMES[1:]):
            sprites = place.sprites[noun]
            who = world.Identity(noun, sprites[(n + t) % len(sprites)], tint)
            name = subject_name(place, who)
            (folder / name).mkdir(parents=True)
            images = [
                f"{name}/" + save(folder / name / f"{k}.png", place.reference(random, who, plain=0.0 if k else 1.0))
                for k in range(PICTURES)
            ]
            rows.append({"id": name, "phrase": noun, "class": noun, "images": images})
    write_lines(folder / "subjects.jsonl", rows)
    return rows


def name_of(setting: str) -> str:
    """"on the grass" -> "grass"."""
    return re.sub(r"^(in|on|at|under) (the |an? )?", "", setting)


def prompts(subjects: list[dict]) -> list[dict]:
    """The prompts of `evaluate.personal`, each with a subject of its first or of its second noun: both positions and all subjects of a
    noun about equally often, no prompt with the same subject twice."""
    rows, used = [], Counter()
    for prompt, nouns in held_out_prompts(np.random.default_rng(303), PROMPTS):
        choices = [
            (position, subject["id"])
            for position, noun in enumerate(nouns)
            for subject in subjects
            if subject["phrase"] == noun and (prompt, subject["id"]) not in used
        ]
        position, subject = min(choices, key=lambda choice: (used[choice[0]], used[choice[1]]))
        used.update([position, subject, (prompt, subject)])
        setting = prompt.removeprefix(" and ".join(map(world.article, nouns)) + " ")
        rows.append({
            "prompt": prompt, "subject": subject, "phrase": nouns[position], "others": [nouns[1 - position]],
            "setting": name_of(setting),
        })
    return rows


def places_in(length: int) -> dict[str, int]:
    """Where a concept can stand in a list: name of the position to index, in a list of `length` with the concept."""
    if length == 1:
        return {"only": 0}
    return {"first": 0, **({"middle": (length - 1) // 2} if length > 2 else {}), "last": length - 1}


def object_prompts(noun: str, others: list[str], setting: str) -> list[dict]:
    """`noun` at every position among none, one, ... of `others`, which stay in their order."""
    rows = []
    for count in range(len(others) + 1):
        for position, index in places_in(count + 1).items():
            nouns = [*others[:index], noun, *others[index:count]]
            prompt = " and ".join(map(world.article, nouns)) + " " + setting
            rows.append({"prompt": prompt, "position": position, "others": others[:count]})
    return rows


def setting_prompts(setting: str, others: list[str]) -> list[dict]:
    """`setting` before, among and after one, two, ... of `others`."""
    rows = []
    for count in range(1, len(others) + 1):
        named = list(map(world.article, others[:count]))
        for position, index in places_in(count + 1).items():
            before, after = " and ".join(named[:index]), " and ".join(named[index:])
            link = "and" if before and after else ""
            prompt = " ".join(filter(None, (before, setting, link, after)))
            rows.append({"prompt": prompt, "position": position, "others": others[:count]})
    return rows


def concepts() -> list[dict]:
    """24 objects (every noun in three settings), 16 scenes and 10 attributes of a scene, each in prompts that name it first, in the
    middle and last, among up to `OTHERS` nouns. The class is the segmenter's; a scene's and an attribute's is what no object covers."""
    random = np.random.default_rng(909)
    paints = list(world.PAINTS)
    painted = lambda paint: world.SETTINGS["room"][0].format(paint)
    draw = lambda count, *without: [str(n) for n in random.permutation([n for n in world.NOUNS if n not in without])[:count]]
    rows = []
    for n, noun in enumerate(world.NOUNS):
        for k in range(3):
            kind = list(world.SETTINGS)[(n + 2 * k) % len(world.SETTINGS)]
            setting = world.SETTINGS[kind][0].format(paints[n])
            prompts = object_prompts(noun, draw(OTHERS, noun), setting)
            rows.append({"id": f"{noun}_{kind}", "phrase": noun, "kind": "object", "class": noun, "prompts": prompts})
    settings_named = [p for phrases in world.SETTINGS.values() for p in phrases if "{}" not in p]
    scenes = [(name_of(p), p) for p in settings_named] + [("room", painted("gray"))] + [(f"{p} room", painted(p)) for p in paints]
    attributes = [(p, painted(p)) for p in paints] + [("city", "on a city street"), ("night", "under the night sky")]
    for kind, named in (("scene", scenes), ("attribute", attributes)):
        for phrase, setting in named:
            prompts = setting_prompts(setting, draw(OTHERS))
            name = f"{kind}_{phrase.replace(' ', '_')}"
            rows.append({"id": name, "phrase": phrase, "kind": kind, "class": "setting", "prompts": prompts})
    return rows


def write(folder: Path = FOLDER) -> None:
    for part in ("scenes", "subjects"):
        shutil.rmtree(folder / part, ignore_errors=True)
    place = world.World()
    scenes(place, folder / "scenes")
    write_lines(folder / "prompts.jsonl", prompts(subjects(place, folder / "subjects")))
    write_lines(folder / "concepts.jsonl", concepts())


def main() -> None:
    write()
    size = sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file())
    print(f"{FOLDER}: {size} bytes")


if __name__ == "__main__":
    main()
