"""A run that takes a second: micro network, made-up pictures. Also a script, to be killed.

python micro_run.py FOLDER STEPS [--slow] [--plain BATCH]
"""

import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from nearfar.data.sample import DepthBatch
from nearfar.family import TrainingTarget
from nearfar.models.base import Losses
from nearfar.train.config import DataConfig, LogConfig, ModelConfig, Recipe, TrainConfig
from nearfar.train.loop import Watcher, train
from nearfar.train.sources import Views, stream
from nearfar.train.targets import draw_weights

SIZE = (16, 24)


class FakeSource:
    """Smooth pictures whose depth follows their first channel."""

    def __init__(self, count: int = 64, seed: int = 0) -> None:
        self.count, self.seed, self.asked = count, seed, []

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Tensor) -> DepthBatch:
        self.asked.append(indices.tolist())
        cpu = torch.device("cpu")
        image = torch.stack(
            [torch.rand(3, *SIZE, generator=stream(cpu, self.seed, int(i))) for i in indices]
        )
        B = len(indices)
        valid = torch.ones(B, *SIZE, dtype=torch.bool)
        return DepthBatch(image, 1 + 5 * image[:, 0], valid, ~valid, torch.full((B,), 60.0))

    def prepare(self, count, *, progress, rank, world_size) -> None:
        progress(count, count)


class MicroNetwork(nn.Module):
    """Two convolutions with a batch norm between them, so that buffers take part."""

    def __init__(self, with_norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if with_norm else nn.Identity()
        self.conv2 = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.conv2(torch.relu(self.norm(self.conv1(image_B3HW))))[:, 0]


class MicroObjective:
    """Mean square error of ln(metres + 1) under a little noise on the picture."""

    def __init__(self, network: nn.Module, noise: float = 0.1) -> None:
        self.network, self.noise, self.poison_at = network, noise, ()
        self.calls = 0

    def __call__(self, batch, *, generator):
        image_B3HW, depth_BHW, *_ = batch
        noise = torch.randn(image_B3HW.shape, generator=generator)
        guess_BHW = self.network(image_B3HW + self.noise * noise).float()
        loss = (guess_BHW - torch.log1p(depth_BHW)).square().mean()
        self.calls += 1
        if self.calls in self.poison_at:
            loss = loss * math.nan
        return Losses(loss, {"square": loss.detach()})


def build_micro(recipe: Recipe, device: torch.device, *, with_norm: bool = True) -> TrainingTarget:
    network = MicroNetwork(with_norm)
    draw_weights(network, generator=torch.Generator().manual_seed(recipe.train.seed))
    network.to(device)
    return TrainingTarget(
        network=network,
        objective=MicroObjective(network),
        preview=lambda image_B3HW, generator, steps: network(image_B3HW),
        family="micro",
        preset="micro",
    )


def build_plain(recipe: Recipe, device: torch.device) -> TrainingTarget:
    """Without noise and batch norm: the loss of a batch is the mean of its parts' losses."""
    target = build_micro(recipe, device, with_norm=False)
    target.objective.noise = 0.0
    return target


def fake_source(data: DataConfig, device: torch.device) -> FakeSource:
    return FakeSource(data.count, data.seed)


def no_augment(batch: DepthBatch, generator: torch.Generator) -> DepthBatch:
    return batch


AS_IS = Views(no_augment, lambda batch: batch)


def micro_recipe(folder: Path, *, train: dict | None = None, log: dict | None = None) -> Recipe:
    return Recipe(
        model=ModelConfig(kind="micro", preset="micro"),
        data=DataConfig(count=64, shard=8, reuse=2.0, validation_count=4, size=SIZE, crop=SIZE),
        train=TrainConfig(
            **{"steps": 6, "batch_size": 4, "warmup": 2, "dtype": "fp32", "threads": 1}
            | (train or {})
        ),
        log=LogConfig(
            **{
                "folder": str(folder),
                "every": 2,
                "validate_every": 0,
                "checkpoint_every": 2,
                "tensorboard": False,
                "export": False,
            }
            | (log or {})
        ),
    )


def run(recipe: Recipe, build=build_micro, **options):
    return train(recipe, build=build, make_source=fake_source, views=AS_IS, **options)


class Slow(Watcher):
    """Leaves time to be killed between any two steps."""

    def on_step(self, report) -> None:
        print(report.step, flush=True)
        time.sleep(0.05)


if __name__ == "__main__":
    folder, steps, *flags = sys.argv[1:]
    size = {"batch_size": int(flags[1])} if "--plain" in flags else {}
    run(
        micro_recipe(Path(folder), train={"steps": int(steps)} | size),
        build=build_plain if "--plain" in flags else build_micro,
        watcher=Slow() if "--slow" in flags else None,
    )
