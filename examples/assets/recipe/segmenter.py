"""Stage 7: the oracle of the evaluation, a small network that finds the nouns in a picture."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import fast
import settings
import trainer
import world


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
    return nn.Sequential(*layers)


class Segmenter(nn.Module):
    """Pictures [batch, 3, SIZE, SIZE] in 0..1 to logits [batch, 1 + nouns, SIZE, SIZE]; class 0 is the setting."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(convolutions(i, o) for i, o in ((12, 32), (32, 64), (64, 128), (128, 128)))
        self.up = nn.ModuleList(convolutions(i, o) for i, o in ((256, 96), (160, 64), (96, 48)))
        self.out = nn.Conv2d(48, (1 + len(world.NOUNS)) * 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, skips = F.pixel_unshuffle(x, 2), []
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], 1))
        return F.pixel_shuffle(self.out(x), 2)


@torch.no_grad()
def areas(model: Segmenter, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Label map [batch, SIZE, SIZE] and number of pixels of every noun [batch, nouns]."""
    labels = torch.cat([model(chunk).argmax(1) for chunk in images.split(64)])
    counts = F.one_hot(labels, 1 + len(world.NOUNS)).sum((1, 2))[:, 1:]
    return labels, counts


def load() -> Segmenter:
    model = Segmenter().eval()
    model.load_state_dict(torch.load(settings.BUILD / "segmenter.pt", weights_only=True))
    return model


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(settings.SEED)
    model, place = Segmenter(), world.World()
    fast.accelerate(model)
    random = np.random.default_rng((settings.SEED, 7, rank))
    weight = torch.tensor([0.25] + [1.0] * len(world.NOUNS))

    def loss(step: int) -> dict[str, torch.Tensor]:
        images, labels = [], []
        for _ in range(settings.BATCH["segmenter"]):
            scene = place.scene(random)
            label = np.zeros(scene.image.shape[:2], np.int64)
            for who, mask in zip(scene.identities, scene.masks):
                label[mask > 0.5] = 1 + world.NOUNS.index(who.noun)
            images.append(scene.image + random.normal(0, random.uniform(0, 0.05), scene.image.shape))
            labels.append(label)
        x, y = world.batch(images), torch.from_numpy(np.stack(labels))
        if random.random() < 0.4:  # generated pictures are softer than composed ones
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        logits = model(x).float()
        found = (logits.argmax(1) == y)[y > 0].float().mean()
        return {"total": F.cross_entropy(logits, y, weight=weight), "pixels found": found}

    def publish(trained: Segmenter) -> str:
        torch.save(trained.state_dict(), settings.BUILD / "segmenter.pt")
        return ""

    trainer.train("segmenter", rank, model, loss, publish, peak=1e-3, muon=0.02)


if __name__ == "__main__":
    trainer.launch(main)
