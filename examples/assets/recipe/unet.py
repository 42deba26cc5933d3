"""Stage 5: the denoiser, a UNet of SD 1.5's topology with three levels, predicting v.

Noise levels are drawn around the middle of the schedule, where a picture's layout is decided. `--ground W` adds a
small loss that pulls the text attention of `up_blocks.1` towards the known masks.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers import DPMSolverMultistepScheduler as Scheduler  # named here alone

import numpy as np

import fast
import settings
import sheets
import trainer
import world
from text import TextStates

CONFIG = dict(
    sample_size=settings.LATENT,
    in_channels=4,
    out_channels=4,
    layers_per_block=1,
    block_out_channels=(48, 96, 160),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    cross_attention_dim=128,
    attention_head_dim=2,  # heads
    norm_num_groups=16,
)
# Noisier than SD's, under which text alone has settled the colours before a warm-up of 0.2 ends; not so noisy that the maps cannot
# tell one object from the other when it ends: log SNR -4.7.
SCHEDULE = dict(
    num_train_timesteps=1000,
    beta_start=0.0001,
    beta_end=0.0145,
    beta_schedule="linear",
    prediction_type="v_prediction",
)
SD_SCHEDULE = {**SCHEDULE, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
GROUND = float(sys.argv[sys.argv.index("--ground") + 1]) if "--ground" in sys.argv else 0.0
GROW_EVERY = 200  # steps between two additions to the pool of scenes
MASK_SIDE = 8  # grid of the grounded blocks
PROMPTS = [
    "a cat and a car on the beach",
    "an elephant and a house on the grass",
    "an apple and a banana in a pink room",
    "an elephant and a car in the snow",
    "a rocket and a penguin at night",
    "a penguin and an apple on a city street",
    "a banana and a cat in a blue room",
    "a cat on the beach",
    "a rocket in a meadow",
    "a house in a yellow room",
    "an elephant in the snow",
    "a car on a city street",
]


def scheduler(schedule: dict = SCHEDULE) -> Scheduler:
    """DPM-Solver++ with noise: what a small UNet gets wrong in one step, later ones can mend. Without noise nouns are missed more often."""
    return Scheduler(**schedule, algorithm_type="sde-dpmsolver++", steps_offset=1)  # the offset as pipelines want it


def saved_scheduler(folder: Path = settings.MODEL / "scheduler") -> Scheduler:
    return Scheduler.from_pretrained(folder)


class Pool:
    """Latents, captions, object masks and noun spans of scenes. Each is used about six times; the pool grows while training goes on."""

    def __init__(self, rank: int, text: TextStates, vae: AutoencoderKL) -> None:
        self.rank, self.text, self.vae = rank, text, vae
        self.generations = 0
        self.captions: list[str] = []

    def grow(self, generations: int) -> None:
        while self.generations < generations:
            path = settings.BUILD / f"pool_unet_{settings.SEED}_{self.rank}_{self.generations}.pt"
            if not path.exists():
                random = np.random.default_rng((settings.SEED, 5, self.rank, self.generations))
                torch.save(self._make(settings.pool("unet"), random, self.text, self.vae), path)
            saved = torch.load(path, weights_only=True)
            for name in ("latents", "masks", "spans"):
                new = saved[name].float() if name == "latents" else saved[name]
                setattr(self, name, torch.cat([getattr(self, name), new]) if self.captions else new)
            self.captions += saved["captions"]
            self.text.prepare(saved["captions"])
            self.generations += 1

    @staticmethod
    @torch.no_grad()
    def _make(count: int, random: np.random.Generator, text: TextStates, vae: AutoencoderKL) -> dict:
        place = world.World()
        latents = torch.empty(count, 4, settings.LATENT, settings.LATENT, dtype=torch.half)
        masks = torch.zeros(count, 2, MASK_SIDE * MASK_SIDE)
        spans = torch.zeros(count, 2, 2, dtype=torch.long)
        captions = []
        for start in range(0, count, 32):
            scenes = [place.scene(random) for _ in range(min(32, count - start))]
            encoded = vae.encode(world.batch([s.image for s in scenes]) * 2 - 1).latent_dist.mode()
            latents[start : start + len(scenes)] = (encoded * vae.config.scaling_factor).half()
            captions += [scene.caption for scene in scenes]
            for k, scene in enumerate(scenes, start):
                masks[k], spans[k] = objects(scene, text)
        return {"latents": latents, "captions": captions, "masks": masks, "spans": spans}


def objects(scene: world.Scene, text) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the (one or two) objects of a scene are [2, MASK_SIDE * MASK_SIDE], and their nouns among the tokens [2, 2]."""
    masks, spans = torch.zeros(2, MASK_SIDE * MASK_SIDE), torch.zeros(2, 2, dtype=torch.long)
    small = F.adaptive_avg_pool2d(torch.from_numpy(scene.masks)[None], MASK_SIDE)[0].flatten(1)
    masks[: len(small)] = small
    for j, who in enumerate(scene.identities):
        spans[j] = torch.tensor(text.span(scene.caption, who.noun))
    return masks, spans


class KeepProbabilities:
    """An attention processor that also stores its head-averaged probabilities [batch, queries, tokens]."""

    def __init__(self, store: list) -> None:
        self.store = store

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)
        self.store.append(probabilities.unflatten(0, (-1, attn.heads)).mean(1))
        return attn.to_out[0](attn.batch_to_head_dim(probabilities @ value))


def of_nouns(probabilities: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """What each place gives to the nouns at `spans` [batch, 2, 2]: [batch, 2, places]."""
    running = F.pad(probabilities.cumsum(-1), (1, 0))
    upto = lambda end: running.gather(2, end[:, None].expand(-1, running.shape[1], -1))
    return (upto(spans[..., 1]) - upto(spans[..., 0])).transpose(1, 2)


def grounding(probabilities: torch.Tensor, masks: torch.Tensor, spans: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """How much of each noun's attention lies outside its object, squared; mean over objects with `weight` [batch, 2]."""
    of_noun = of_nouns(probabilities, spans)
    inside = (of_noun * (masks > 0.15)).sum(-1) / (of_noun.sum(-1) + 1e-6)
    return (weight * (1 - inside).square()).sum() / (weight.sum() + 1)


def as_noisy(steps: Scheduler, level: int) -> int:
    """The timestep of `steps` at which a picture is as noisy as at `level` of SD's schedule."""
    signal = scheduler(SD_SCHEDULE).alphas_cumprod[level].log()
    return (steps.alphas_cumprod.log() - signal).abs().argmin().item()


def noise_levels(count: int) -> torch.Tensor:
    """45 % around log SNR 0.6 (logit-normal), where a drawing is decided, 30 % from -5 to -2, where nouns are placed, the rest anywhere."""
    middle = torch.sigmoid(0.9 * torch.randn(count) - 1.1)
    anywhere, kind = torch.rand(count), torch.rand(count)
    nouns = 0.54 + 0.29 * torch.rand(count)
    share = torch.where(kind < 0.45, middle, torch.where(kind < 0.75, nouns, anywhere))
    return (share * 1000).long().clamp(0, 999)


@torch.no_grad()
def sample(unet, vae, states: torch.Tensor, empty: torch.Tensor, seed: int = 0, steps: int = 20, guidance: float = 7.5):
    """Text-only pictures [n, SIZE, SIZE, 3]."""
    sampler = scheduler()
    sampler.set_timesteps(steps)
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(len(states), 4, settings.LATENT, settings.LATENT, generator=random)
    both = torch.cat([empty.expand(len(states), -1, -1), states])
    for t in sampler.timesteps:
        without, given = unet(torch.cat([x, x]), t, both).sample.chunk(2)
        x = sampler.step(without + guidance * (given - without), t, x, generator=random).prev_sample
    image = vae.decode(x / vae.config.scaling_factor).sample
    return ((image + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def main(rank: int) -> None:
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(settings.MODEL / "vae").eval()
    text = TextStates()
    empty = text([""])
    torch.manual_seed(settings.SEED)
    unet = UNet2DConditionModel(**CONFIG)
    start = settings.MODEL / "unet_start"
    if start.exists():  # weights of an earlier model to begin with
        unet.load_state_dict(UNet2DConditionModel.from_pretrained(start).state_dict())
    store: list[torch.Tensor] = []
    fast.accelerate(unet)
    if GROUND > 0:
        for name, module in unet.up_blocks[1].named_modules():
            if name.endswith("attn2"):
                module.set_processor(KeepProbabilities(store))
    alphas = scheduler().alphas_cumprod
    count, pool = settings.BATCH["unet"], Pool(rank, text, vae)

    def loss(step: int) -> dict[str, torch.Tensor]:
        pool.grow(1 + step // GROW_EVERY)
        pick = torch.randint(0, len(pool.captions), (count,))
        clean, states = pool.latents[pick], text([pool.captions[i] for i in pick])
        dropped = torch.rand(count) < 0.1
        states[dropped] = empty
        t, noise = noise_levels(count), torch.randn_like(clean)
        alpha = alphas[t].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        store.clear()
        terms = {"v": F.mse_loss(unet(noisy, t, states).sample.float(), target)}
        terms["total"] = terms["v"]
        if GROUND > 0:
            masks = pool.masks[pick]
            weight = (masks.sum(-1) > 0.5) & ~dropped[:, None] & (alphas[t] > 0.05)[:, None]
            outside = [grounding(p, masks, pool.spans[pick], weight.float()) for p in store]
            terms["ground"] = torch.stack(outside).mean()
            terms["total"] = terms["v"] + GROUND * terms["ground"]
        return terms

    def publish(model: UNet2DConditionModel) -> str:
        model.save_pretrained(settings.MODEL / "unet")
        scheduler().save_pretrained(settings.MODEL / "scheduler")
        pictures = sample(model, vae, text(PROMPTS), empty)
        sheets.contact(pictures, settings.BUILD / "sheets" / "unet.png", columns=4, labels=PROMPTS)
        store.clear()
        return ""

    trainer.train("unet", rank, unet, loss, publish, peak=6e-4, muon=0.02)


if __name__ == "__main__":
    trainer.launch(main)
