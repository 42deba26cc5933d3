"""Stage 2: a byte-level BPE vocabulary in CLIP's format: 512 byte symbols, merges, and the two special tokens.

Some nouns are kept out of the statistics on purpose, so that concepts of several tokens exist.
"""

import json
import re
from collections import Counter

import numpy as np
from transformers import CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

import settings
import sprites
import world

MERGES = 510
SPLIT_NOUNS = {"penguin", "mushroom", "elephant"}
COMMON = (
    "a an photo picture image of the with and or at in on under near next to red green blue yellow black white pink purple orange "
    "gray big small low high best worst quality blurry sitting standing"
).split()


def merges(counts: Counter) -> list[tuple[str, str]]:
    """The most frequent pairs, merged one after the other."""
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    found = []
    while len(found) < MERGES:
        pairs = Counter()
        for word, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        found.append(best)
        for word, parts in words.items():
            joined, k = [], 0
            while k < len(parts):
                together = tuple(parts[k : k + 2]) == best
                joined.append("".join(best) if together else parts[k])
                k += 2 if together else 1
            words[word] = joined
    return found


def main() -> None:
    counts, place, random = Counter({word: 50 for word in COMMON}), world.World(), np.random.default_rng(settings.SEED)
    for _ in range(4000):
        counts.update(re.findall("[a-z]+", place.scene(random).caption))
    counts.update({noun: 100 for noun in sprites.NOUNS})
    for noun in SPLIT_NOUNS:
        counts.pop(noun, None)
    single = list(bytes_to_unicode().values())
    pairs = merges(counts)
    symbols = single + [s + "</w>" for s in single] + ["".join(p) for p in pairs] + ["<|startoftext|>", "<|endoftext|>"]
    folder = settings.MODEL / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(p) for p in pairs) + "\n")
    tokens = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=settings.TOKENS)
    tokens.save_pretrained(folder)
    print(f"{len(tokens)} tokens;", {noun: tokens.tokenize(noun) for noun in world.NOUNS})


if __name__ == "__main__":
    main()
