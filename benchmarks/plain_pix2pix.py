"""pix2pix as its users have it, to measure ours against: `python benchmarks/plain_pix2pix.py DATASET --minutes 20`.

Our own writing of Isola et al. 2016 with the defaults of its best-known code: a U-Net down to one pixel (54.41 M
parameters at 256 px), a 70x70 PatchGAN (2.77 M), BatchNorm with the statistics of the batch and dropout 0.5 also when
painting, weights N(0, 0.02), Adam 2e-4 (0.5, 0.999), vanilla GAN + 100 L1, the discriminator's loss halved, batch 1,
enlarged to 286, crop 256, flip, fp32, eager. Its 100 epochs of constant rate and 100 of falling rate are stretched to
the minutes given. Nothing is hobbled: the pairs wait in memory, on the device, so that data costs it nothing.

Same photos, split and conditions as `beautynet train`. `load(folder)` gives a Translator, as any ruler of ours takes;
--report runs `beautynet evaluate` on it, after the minutes. With --speed it trains nothing and prints its figures as
JSON, for `beautynet bench train`.
"""

# ruff: noqa: E402
from __future__ import annotations

import time

STARTED = time.monotonic()  # before torch is imported: that, too, is time that its user waits

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from beautynet import images
from beautynet.conditions import Condition
from beautynet.config import CONDITION_NAMES, PALETTE_NAMES, TrainConfig
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.devices import pick_device
from beautynet.speed import Work, measure, noise_photos
from beautynet.translator import Translator

MODEL = "model.safetensors"
HEADER = "plain pix2pix"


class UNet(nn.Module):
    """Condition (N, 3, size, size) -> picture, both in [-1, 1]: halved down to one pixel and back, a skip a level."""

    def __init__(self, size: int = 256, width: int = 64) -> None:
        super().__init__()
        self.multiple = size
        widths = [width * min(8, 2**level) for level in range(int(math.log2(size)))]
        deepest = len(widths) - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, here in enumerate(widths):
            above = widths[level - 1] if level else 3
            down: list[nn.Module] = [nn.Conv2d(above, here, 4, 2, 1, bias=False)]
            up: list[nn.Module] = [nn.ReLU(inplace=True)]
            up += [nn.ConvTranspose2d(here if level == deepest else 2 * here, above, 4, 2, 1, bias=level == 0)]
            if level:
                down.insert(0, nn.LeakyReLU(0.2, inplace=True))
            if 0 < level < deepest:
                down.append(nn.BatchNorm2d(here))
            up.append(nn.BatchNorm2d(above) if level else nn.Tanh())
            if 4 <= level < deepest:
                up.append(nn.Dropout(0.5))
            self.down.append(nn.Sequential(*down))
            self.up.insert(0, nn.Sequential(*up))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = self.up[0](skips.pop())
        for up in self.up[1:]:
            x = up(torch.cat([skips.pop(), x], dim=1))
        return x


class PatchGAN(nn.Sequential):
    """(condition, picture) as (N, 6, H, W) -> a score for each 70x70 patch."""

    def __init__(self, width: int = 64) -> None:
        layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for level in range(3):
            inputs = width * 2**level
            layers += [
                nn.Conv2d(inputs, 2 * inputs, 4, 2 if level < 2 else 1, 1, bias=False),
                nn.BatchNorm2d(2 * inputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        super().__init__(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), those of BatchNorm N(1, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Pairs:
    """The middle square of each photo and its condition, at 286/256 of the size, to crop and flip."""

    def __init__(self, photos: Photos, condition: Condition, device: torch.device) -> None:
        self.size = condition.size
        load = round(self.size * 286 / 256)
        squares = list(photos.centres(load))
        self.pairs: list[Tensor] = []
        for first in range(0, len(squares), 32):
            some = torch.cat(squares[first : first + 32]).to(device)
            pairs = torch.stack([condition(some)[0], some], dim=1)
            self.pairs += ((pairs + 1) * 127.5).round().to(torch.uint8).unbind()
        self.order: list[int] = []

    def draw(self, random: Random) -> tuple[Tensor, Tensor]:
        """The next (condition, photo), each (1, 3, size, size) in [-1, 1]; an epoch is a shuffle of all."""
        if not self.order:
            self.order = random.sample(range(len(self.pairs)), len(self.pairs))
        pair = self.pairs[self.order.pop()]
        room = pair.shape[-1] - self.size
        top, left = random.randint(0, room), random.randint(0, room)
        square = pair[:, :, top : top + self.size, left : left + self.size].float().div_(127.5).sub_(1)
        shown, photo = (square.flip(3) if random.random() < 0.5 else square).chunk(2)
        return shown, photo


class Plain:
    """The two networks, their optimisers and the step."""

    def __init__(self, size: int, device: torch.device, seed: int = 0) -> None:
        torch.manual_seed(seed)
        torch.backends.cudnn.benchmark = True
        self.random = Random(seed)
        self.generator, self.discriminator = UNet(size).to(device), PatchGAN().to(device)
        self.generator.apply(initialise)
        self.discriminator.apply(initialise)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )

    def step(self, pairs: Pairs, fraction: float = 0.0) -> None:
        """One step at `fraction` of the budget: the discriminator learns, then the generator."""
        shown, photo = pairs.draw(self.random)
        for optimiser in (self.adam_g, self.adam_d):
            optimiser.param_groups[0]["lr"] = 2e-4 * min(1.0, 2 * (1 - fraction))
        painted = self.generator(shown)

        fake = self.discriminator(torch.cat([shown, painted.detach()], dim=1))
        real = self.discriminator(torch.cat([shown, photo], dim=1))
        self.adam_d.zero_grad()
        (0.5 * (vanilla(fake, False) + vanilla(real, True))).backward()  # type: ignore[no-untyped-call]
        self.adam_d.step()

        self.discriminator.requires_grad_(False)
        score = self.discriminator(torch.cat([shown, painted], dim=1))
        self.adam_g.zero_grad()
        (vanilla(score, True) + 100 * F.l1_loss(painted, photo)).backward()  # type: ignore[no-untyped-call]
        self.adam_g.step()
        self.discriminator.requires_grad_(True)


def vanilla(score: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


class Painter(Translator):
    """Paints as its users do: one square at a time, BatchNorm and dropout as in training, whatever the shape given."""

    def __init__(self, generator: UNet, condition: Condition, device: torch.device) -> None:
        super().__init__(generator, condition, device, "float32")  # type: ignore[arg-type]
        self.generator.to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload]

    @torch.inference_mode()
    def paint(self, shown: Tensor, _places: object = None) -> Tensor:
        """Conditions (N, 3, h, w) in [-1, 1] -> pictures; the dice of the dropout are the same in each call."""
        height, width = shown.shape[-2:]
        squares = images.resize(shown, self.generator.multiple, self.generator.multiple)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            painted = torch.cat([self.generator(square) for square in squares.chunk(len(squares))])
        return images.resize(painted, height, width)


def load(folder: str | Path, device: str = "auto") -> Painter:
    """What `train` left in `folder`."""
    with safe_open(Path(folder, MODEL), "pt") as file:  # type: ignore[no-untyped-call]
        header = json.loads(file.metadata()[HEADER])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    condition = Condition(**header["condition"])
    generator = UNet(condition.size)
    generator.load_state_dict(weights)
    painter = Painter(generator, condition, pick_device(device))
    painter.header = header
    return painter


def train(data: str | Path, condition: Condition, minutes: float, out: Path, device: torch.device, seed: int) -> None:
    """Train for `minutes`, imports and reading included, and save to `out`."""
    photos = Photos.load(Dataset.open(data).split()[0], condition.size, torch.device("cpu"))
    pairs, plain, steps = Pairs(photos, condition, device), Plain(condition.size, device, seed), 0
    while (seconds := time.monotonic() - STARTED) < minutes * 60 - 1 or not steps:  # a second to save
        plain.step(pairs, seconds / (minutes * 60))
        steps += 1
    out.mkdir(parents=True, exist_ok=True)
    progress = {"steps": steps, "images": steps, "seconds": round(time.monotonic() - STARTED, 1)}
    header = {"condition": asdict(condition), "progress": progress, "dataset": Path(data).resolve().name, "seed": seed}
    weights = {name: tensor.cpu().contiguous() for name, tensor in plain.generator.state_dict().items()}
    save_file(weights, out / MODEL, metadata={HEADER: json.dumps(header)})
    print(f"{out / MODEL}: {steps:,} images in {(time.monotonic() - STARTED) / 60:.1f} minutes")


def speed(condition: Condition, device: torch.device, seconds: float) -> dict[str, Any]:
    """Its figures, as `beautynet.speed.Speed`'s fields."""
    pairs = Pairs(Photos(noise_photos(2 * condition.size, 4 / 3), device), condition, device)
    plain = Plain(condition.size, device)
    name = f"plain pix2pix, {condition.size} px, batch 1, fp32"
    work = Work(name, 1, lambda: plain.step(pairs), lambda: pairs.draw(plain.random))
    return asdict(measure(work, device=device, seconds=seconds, started=STARTED))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--size", type=int, choices=(128, 256), default=256)
    parser.add_argument("--condition", choices=CONDITION_NAMES, default="clusters")
    parser.add_argument("--palette", choices=PALETTE_NAMES, default="ranked")
    parser.add_argument("--abstraction", type=float, default=TrainConfig.abstraction)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--out", type=Path, default=Path("plain"))
    parser.add_argument("--report", action="store_true", help="evaluate it afterwards, into a report beside it")
    parser.add_argument("--everyday", help="other pictures, for the dream score of the report")
    parser.add_argument("--speed", type=float, metavar="SECONDS", help="measure the speed for so long instead")
    given = parser.parse_args()
    condition = Condition(given.condition, abstraction=given.abstraction, size=given.size, palette=given.palette)
    device = pick_device(given.device)
    if given.speed:
        print(json.dumps(speed(condition, device, given.speed)))
    elif given.dataset:
        train(given.dataset, condition, given.minutes, given.out, device, given.seed)
        if given.report:
            from beautynet.verbs.evaluate import evaluate

            painter = load(given.out, given.device)
            report = evaluate(translator=painter, data=given.dataset, everyday=given.everyday, out=given.out / "report")
            print(report.table())
    else:
        parser.error("give a dataset")


if __name__ == "__main__":
    main()
