"""Stage 14: a small FLUX of the same world: T5 encoder and transformer (MMDiT), trained together by flow matching.

The autoencoder and the CLIP text encoder are those of the Stable Diffusion model. `python run.py flux` trains with prompts dropped in
one of ten, so that the model can be guided by mixing.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

import fast
import settings
import sheets
import sprites
import text
import trainer
import unet as denoiser
import world
from vocabulary import COMMON, SPLIT_NOUNS

WIDTH = 192
CONFIG = dict(
    patch_size=1,
    in_channels=16,
    num_layers=4,
    num_single_layers=6,
    attention_head_dim=32,
    num_attention_heads=WIDTH // 32,
    joint_attention_dim=128,
    pooled_projection_dim=128,
    guidance_embeds=True,
    axes_dims_rope=(8, 12, 12),
)
T5 = dict(
    d_model=128,
    d_kv=32,
    d_ff=256,
    num_layers=2,
    num_heads=4,
    relative_attention_num_buckets=16,
    relative_attention_max_distance=32,
    dropout_rate=0.0,
    feed_forward_proj="gated-gelu",
    is_encoder_decoder=False,
    use_cache=False,
)
TOKENS = 24  # T5 tokens of a prompt
SIDE = settings.LATENT // 2  # tokens along a side of a picture
PLACED = 0.97  # noise above which no object has a place yet
FOLDER = settings.BUILD / "flux"
TAUGHT = settings.BUILD / "flux_taught"  # before guidance is an input
# As FLUX.1-dev's: the fewer tokens, the less its steps are moved towards noise.
SCHEDULE = dict(
    num_train_timesteps=1000,
    shift=3.0,
    use_dynamic_shifting=True,
    base_shift=0.5,
    max_shift=1.15,
    base_image_seq_len=256,
    max_image_seq_len=4096,
)


def make_tokenizer() -> T5TokenizerFast:
    """T5's format: unigrams, which begin with a bar where a word does, and `</s>` at the end. Some nouns are two tokens on purpose."""
    place, random, counts = world.World(), np.random.default_rng(settings.SEED), Counter({word: 50 for word in COMMON})
    for _ in range(4000):
        counts.update(place.scene(random).caption.split())
    counts.update({noun: 100 for noun in sprites.NOUNS})
    pieces = Counter({"▁": 1})
    for word, count in counts.items():
        head = len(word) // 2 if word in SPLIT_NOUNS else len(word)
        for piece in ("▁" + word[:head], word[head:]):
            pieces[piece] += count if piece else 0
    total = sum(pieces.values())
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, math.log(count / total)) for piece, count in pieces.most_common() if count]
    known = {piece for piece, _ in vocabulary}
    vocabulary += [(letter, -20.0) for letter in map(chr, range(33, 127)) if letter not in known]
    tokens = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokens.normalizer = normalizers.NFKC()
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokens.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=tokens, extra_ids=0, model_max_length=TOKENS)


class Prompts:
    """Ids for T5 and the pooled states of CLIP, each caption once."""

    def __init__(
        self,
        clip_tokens: Path = settings.MODEL / "tokenizer",
        clip: Path = settings.MODEL / "text_encoder",
        tokens: Path = FOLDER / "tokenizer_2",
    ) -> None:
        if not tokens.exists():
            make_tokenizer().save_pretrained(tokens)
        self.tokens = T5TokenizerFast.from_pretrained(tokens)
        self.clip_tokens = CLIPTokenizer.from_pretrained(clip_tokens)
        self.clip = CLIPTextModel.from_pretrained(clip, torch_dtype=torch.float32).eval()
        self._of: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.no_grad()
    def prepare(self, captions: list[str]) -> None:
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._of]
        for start in range(0, len(new), 32):
            chunk = new[start : start + 32]
            ids = self.tokens(chunk, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids
            pooled = self.clip(text.token_ids(self.clip_tokens, chunk)).pooler_output
            self._of.update(zip(chunk, zip(ids, pooled)))

    def __call__(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[captions, TOKENS] and [captions, 128]"""
        self.prepare(captions)
        ids, pooled = zip(*(self._of[caption] for caption in captions))
        return torch.stack(ids), torch.stack(pooled)

    def span(self, caption: str, noun: str) -> tuple[int, int]:
        """Positions of `noun` among the tokens: first and one past the last."""
        encoded = self.tokens(caption)
        at = caption.index(noun)
        first, last = encoded.char_to_token(at), encoded.char_to_token(at + len(noun) - 1)
        return first, last + 1


class Flux(nn.Module):
    """What is trained: the encoder of the text stream and the transformer."""

    def __init__(self, transformer: FluxTransformer2DModel | None = None, t5: T5EncoderModel | None = None, vocabulary: int = 0) -> None:
        super().__init__()
        self.t5 = t5 or T5EncoderModel(T5Config(vocab_size=vocabulary, **T5))
        self.transformer = transformer or start(FluxTransformer2DModel(**CONFIG))
        self.t5.shared.weight.table = True
        accelerate(self.transformer)

    def forward(self, packed, sigma, ids, pooled, guidance):
        """packed [n, tokens, 16], sigma [n], ids [n, TOKENS] -> velocity [n, tokens, 16]"""
        states = self.t5(ids).last_hidden_state
        return self.velocity(packed, sigma, states, pooled, guidance)

    def velocity(self, packed, sigma, states, pooled, guidance):
        return self.transformer(
            hidden_states=packed,
            timestep=sigma,
            guidance=guidance,
            encoder_hidden_states=states,
            pooled_projections=pooled,
            txt_ids=torch.zeros(states.shape[1], 3),
            img_ids=grid_positions(),
        ).sample

    @torch.no_grad()
    def mixed(self, packed, sigma, states, pooled, empty, guidance):
        """What two passes predict, with the prompt and with `empty` (states and pooled states of none), mixed with strengths `guidance` [n]."""
        twice = lambda x: torch.cat([x, x])
        both = lambda given, none: torch.cat([given, none.expand_as(given)])
        inputs = (twice(packed), twice(sigma), both(states, empty[0]), both(pooled, empty[1]))
        given, without = self.velocity(*inputs, torch.ones(2 * len(packed))).float().chunk(2)
        return without + guidance.view(-1, 1, 1) * (given - without)

    def save(self, folder: Path) -> None:
        self.t5.save_pretrained(folder / "text_encoder_2")
        self.transformer.save_pretrained(folder / "transformer")
        scheduler().save_pretrained(folder / "scheduler")

    @classmethod
    def load(cls, folder: Path) -> "Flux":
        transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer")
        return cls(transformer, T5EncoderModel.from_pretrained(folder / "text_encoder_2"))


def start(transformer: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """Every block begins as the identity, the prediction at zero."""
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and (name.endswith(("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")) or name == "proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return transformer


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Pairs of neighbouring channels of `x` [n, heads, tokens, channels] turn."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return x * cos + torch.stack([-odd, even], -1).flatten(-2) * sin


class JointAttention:
    """Attention of double and single blocks, written as the few passes it needs.

    `store` gets what each token of the picture gives to the tokens of the text, mean over heads, [n, picture, text], sum 1.
    """

    def __init__(self, store: list | None = None) -> None:
        self.store = store

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        query, key, value = heads(attn.to_q(hidden_states)), heads(attn.to_k(hidden_states)), heads(attn.to_v(hidden_states))
        query, key = normalized(query, attn.norm_q), normalized(key, attn.norm_k)
        text = 0
        if encoder_hidden_states is not None:
            text = encoder_hidden_states.shape[1]
            own = lambda layer, norm=None: heads(layer(encoder_hidden_states)) if norm is None else normalized(heads(layer(encoder_hidden_states)), norm)
            query = torch.cat([own(attn.add_q_proj, attn.norm_added_q), query], 2)
            key = torch.cat([own(attn.add_k_proj, attn.norm_added_k), key], 2)
            value = torch.cat([own(attn.add_v_proj), value], 2)
        cos, sin = (part.to(query.dtype) for part in image_rotary_emb)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        if self.store is not None:
            self.store.append(fast.probabilities(query[:, :, text:], key[:, :, :text]).mean(1))
        out = fast.probabilities(query, key) @ value
        out = out.transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return out
        return attn.to_out[0](out[:, text:]), attn.to_add_out(out[:, :text])


def normalized(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight.to(x.dtype), norm.eps)


def accelerate(transformer: FluxTransformer2DModel) -> None:
    for block in [*transformer.transformer_blocks, *transformer.single_transformer_blocks]:
        block.attn.set_processor(JointAttention())


def grid_positions(side: int = SIDE, columns_before: int = 0) -> torch.Tensor:
    """[side * side, 3]: index, row, column"""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns + columns_before], -1).flatten(0, 1).float()


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[n, c, h, w] -> [n, h / 2 * w / 2, 4 c]"""
    n, c, h, w = latents.shape
    return latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 4, 4 * c)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    n, tokens, channels = packed.shape
    side = math.isqrt(tokens)
    return packed.view(n, side, side, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(n, channels // 4, 2 * side, 2 * side)


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(**SCHEDULE)


def sigmas(steps: int, tokens: int = SIDE * SIDE) -> torch.Tensor:
    """Noise levels of FluxPipeline, [steps + 1], falling to 0."""
    slope = (SCHEDULE["max_shift"] - SCHEDULE["base_shift"]) / (SCHEDULE["max_image_seq_len"] - SCHEDULE["base_image_seq_len"])
    mu = tokens * slope + SCHEDULE["base_shift"] - slope * SCHEDULE["base_image_seq_len"]
    steps_of = scheduler()
    steps_of.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return steps_of.sigmas


def noise_levels(count: int) -> torch.Tensor:
    """As `unet.noise_levels`, in sigma: 45 % where a drawing is decided, 30 % where nouns are placed, the rest anywhere."""
    middle = torch.sigmoid(0.9 * torch.randn(count) - 0.2)
    nouns, anywhere, kind = 0.72 + 0.26 * torch.rand(count), torch.rand(count), torch.rand(count)
    return torch.where(kind < 0.45, middle, torch.where(kind < 0.75, nouns, anywhere))


def misplaced(given: torch.Tensor, masks: torch.Tensor, spans: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """How much of what places give to a noun [n, places, tokens] comes from outside its object, and how unsure the places of an object
    are which of two nouns is theirs; of the samples that are `counted` [n]."""
    present = (masks.sum(-1) > 0.5) & counted[:, None]
    outside = denoiser.grounding(given, masks, spans, present.float())
    of_noun = denoiser.of_nouns(given, spans)
    own = ((masks > 0.5) & present.all(1)[:, None, None]).float()
    unsure = -((of_noun + 1e-6) / (of_noun.sum(1, keepdim=True) + 2e-6)).log()
    return outside + 0.3 * (own * unsure).sum() / (own.sum() + 1)


@torch.no_grad()
def sample(model: Flux, vae, prompts: Prompts, captions: list[str], seed: int = 0, steps: int = 25, mixing: float = 4.0, guidance: float = 1.0):
    """Text-only pictures [n, SIZE, SIZE, 3]; `mixing` above 1 takes a second pass with an empty prompt."""
    random = torch.Generator().manual_seed(seed)
    x = pack(torch.randn(len(captions), 4, settings.LATENT, settings.LATENT, generator=random))
    ids, pooled = prompts(captions)
    empty_ids, empty_pooled = prompts([""])
    states, empty, levels = model.t5(ids).last_hidden_state, model.t5(empty_ids).last_hidden_state, sigmas(steps)
    each = lambda value: torch.full((len(captions),), value)
    for now, then in zip(levels, levels[1:]):
        inputs = (x, now.expand(len(x)), states, pooled)
        if mixing > 1:
            velocity = model.mixed(*inputs, (empty, empty_pooled), each(mixing))
        else:
            velocity = model.velocity(*inputs, each(guidance)).float()
        x = x + (then - now) * velocity
    image = vae.decode(unpack(x) / vae.config.scaling_factor).sample
    return ((image + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def main(rank: int) -> None:
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    torch.manual_seed(settings.SEED)
    if rank == 0:
        Prompts()  # writes the tokenizer
    trainer.wait()
    prompts = Prompts()
    model = Flux(vocabulary=len(prompts.tokens))
    count, pool = settings.BATCH["flux"], denoiser.Pool(rank, prompts, vae)
    empty_ids, empty_pooled = prompts([""])

    def loss(step: int) -> dict[str, torch.Tensor]:
        pool.grow(1 + step // denoiser.GROW_EVERY)
        pick = torch.randint(0, len(pool.captions), (count,))
        clean = pack(pool.latents[pick])
        ids, pooled = prompts([pool.captions[i] for i in pick])
        dropped = torch.rand(count, 1) < 0.1
        ids, pooled = torch.where(dropped, empty_ids, ids), torch.where(dropped, empty_pooled, pooled)
        sigma, noise = noise_levels(count), torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1))
        wrong = model(noisy, sigma, ids, pooled, torch.ones(count)).float() - (noise - clean)
        return {"total": wrong.square().mean()}

    def publish(model: Flux) -> str:
        model.save(TAUGHT)
        pictures = sample(model, vae, prompts, denoiser.PROMPTS)
        sheets.contact(pictures, settings.BUILD / "sheets" / "flux.png", columns=4, labels=denoiser.PROMPTS)
        return ""

    trainer.train("flux", rank, model, loss, publish, peak=1e-3, muon=0.02, average=0.99)


if __name__ == "__main__":
    trainer.launch(main)
