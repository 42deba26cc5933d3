"""Captions to token ids and to text-encoder states, each caption encoded once."""

import torch
from transformers import CLIPTextModel, CLIPTokenizer

import settings


def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(settings.MODEL / "tokenizer")


def token_ids(tokens: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """[captions, TOKENS]"""
    padded = tokens(captions, padding="max_length", max_length=settings.TOKENS, truncation=True)
    return torch.tensor(padded.input_ids)


class TextStates:
    def __init__(self) -> None:
        self.tokens = tokenizer()
        self.encoder = CLIPTextModel.from_pretrained(settings.MODEL / "text_encoder").eval()
        self._states: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def prepare(self, captions: list[str]) -> None:
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._states]
        for start in range(0, len(new), 32):
            chunk = new[start : start + 32]
            states = self.encoder(token_ids(self.tokens, chunk)).last_hidden_state
            self._states.update(zip(chunk, states))

    def __call__(self, captions: list[str]) -> torch.Tensor:
        """[captions, TOKENS, width]"""
        self.prepare(captions)
        return torch.stack([self._states[caption] for caption in captions])

    def span(self, caption: str, noun: str) -> tuple[int, int]:
        """Positions of `noun` in the token window: first and one past the last."""
        whole, part = self.tokens.tokenize(caption), self.tokens.tokenize(noun)
        for start in range(len(whole) - len(part) + 1):
            if whole[start : start + len(part)] == part:
                return start + 1, start + 1 + len(part)  # + 1: the window begins with <|startoftext|>
        raise KeyError(f"{noun!r} is not in {caption!r}")
