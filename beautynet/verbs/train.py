"""pix2pix under a wall-clock budget (Isola et al. 2016): a U-Net learns to paint the photo from its condition.

The loop is: done? - save what is due - step, on one path from the first step to the last. The learning rate, the
moving average and the samples follow `fraction`, what is spent of the budget; seconds spent are saved with the
state, so the same command goes on where a run was stopped, and spends only what is left.
"""

from __future__ import annotations

import copy
import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from beautynet import checkpoint as checkpoints
from beautynet import files, images, losses
from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.console import console
from beautynet.dataset import Dataset, Photos
from beautynet.decode import decode
from beautynet.devices import autocast, pick_device
from beautynet.errors import BeautyError
from beautynet.networks import PRESETS, Discriminator, Generator, depth_for, halvings_for
from beautynet.panel import TrainPanel
from beautynet.translator import Translator

SAMPLED_PHOTOS = 4
SAMPLES_WANTED = 60
"""How many grids a run leaves for the training film, if their cost allows."""
OVERHEAD = 0.05
"""At most this share of the time goes into samples."""
LOG_SECONDS = 1.0
FILM, FILM_RATE = "training.mp4", 12


@dataclass
class Progress:
    """How far a run is. Saved with the state: time is state."""

    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    samples: int = 0

    def fraction(self, config: TrainConfig) -> float:
        """Share of the budget that is spent, 0..1."""
        spent = self.steps / config.steps if config.steps else self.seconds / (config.minutes * 60)
        return min(1.0, spent)


@dataclass(frozen=True)
class TrainSummary:
    """What a call of `train` did."""

    folder: Path
    model: Path
    steps: int
    images: int
    seconds: float
    """Seconds spent in all, earlier sessions included."""
    images_per_second: float
    finished: bool
    stopped_by: int | None
    """The signal that stopped it early."""


def train(
    data: str | Path | None = None,
    *,
    name: str | None = None,
    device: str = "auto",
    init: str | Path | None = None,
    preview: Sequence[str | Path] = (),
    started: float | None = None,
    **settings: Any,
) -> TrainSummary:
    """Train on the dataset `data` (None: the newest in `data/`) into `checkpoints/<name or dataset>`.

    The same call again resumes. `settings` are the fields of `TrainConfig`. `init` is a checkpoint to start from;
    `preview` are pictures to watch beside the held-out photos; `started` is when the budget began, on
    `time.monotonic()`'s clock (default: now). Raises BeautyError.
    """
    clock = time.monotonic() if started is None else started
    chosen = pick_device(device)
    config = TrainConfig(**settings).for_device(chosen.type)
    dataset = Dataset.open(data)
    folder = checkpoints.CHECKPOINTS / (name or dataset.name)
    state = checkpoints.load_state(folder)
    if state is not None:
        _check_resumable(state, config, folder)
    run = Run(config, dataset, folder, chosen, clock)
    run.preview = [Path(path) for path in preview]
    if state is not None:
        run.restore(state)
    elif init is not None:
        run.start_from(checkpoints.find(init))
    return run()


def _check_resumable(state: dict[str, Any], config: TrainConfig, folder: Path) -> None:
    for broken in state["unreadable"]:
        console.print(f"{folder}/{broken} is damaged: going on from the save before it", style="yellow")
    if differences := list(config.differences(state["config"])):
        raise BeautyError(
            f"{folder} was trained with other settings ({'; '.join(differences)}): "
            "give the same ones to go on, or --name for a new run"
        )
    progress = Progress(**state["progress"])
    if progress.fraction(config) >= 1:
        spent = f"{progress.steps} steps" if config.steps else f"{progress.seconds / 60:.1f} minutes"
        raise BeautyError(
            f"{folder} is finished ({spent} spent): see it with `beautynet video input.mp4`, "
            "give more --minutes or --hours to go on, or --name for a new run"
        )


class Run:
    """One training run: its networks, its photos, its folder."""

    def __init__(self, config: TrainConfig, dataset: Dataset, folder: Path, device: torch.device, clock: float) -> None:
        self.config, self.dataset, self.folder, self.device = config, dataset, folder, device
        self.clock = clock
        assert config.batch
        assert config.preset  # for_device has filled them in
        self.batch = config.batch
        self.progress = Progress()
        self.condition = Condition(
            config.condition, abstraction=config.abstraction, size=config.size, k=config.k, palette=config.palette
        )
        self.preview: list[Path] = []
        self._epoch, self._order = -1, list[int]()
        torch.manual_seed(config.seed)
        torch.backends.cudnn.benchmark = True
        preset = PRESETS[config.preset]
        layout: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
        self.generator = Generator(preset.width, depth_for(config.size)).to(**layout)
        self.discriminator = Discriminator(preset.critic_width, halvings_for(config.size)).to(**layout)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [self._adam(self.generator), self._adam(self.discriminator)]

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            network.parameters(), lr=self.config.learning_rate, betas=(0.5, 0.99), fused=self.device.type != "mps"
        )

    def __call__(self) -> TrainSummary:
        """Train until the budget is spent or a signal comes; save; make the training film."""
        earlier = self.progress.seconds
        images_before = self.progress.images
        training, held_out = self.dataset.split()
        photos = Photos.load(training, self.config.size, self.device)
        watched = self._watched(held_out or training[:1])
        files.clear_leftovers(self.folder)
        saved_at = sampled_at = logged_at = time.monotonic()
        save_cost = sample_cost = 0.0
        figures: dict[str, Tensor] = {}
        stop = _Stop()
        began = time.monotonic()
        with stop, TrainPanel(self.folder, self.config, len(training), self.device) as panel:
            while True:
                now = time.monotonic()
                self.progress.seconds = earlier + now - self.clock
                closing = save_cost + sample_cost + self._film_cost()
                if finished := self._done(closing):
                    self.progress.seconds += closing  # what follows belongs to the budget
                done = finished or stop.signal is not None
                if done or self._sample_due(now - sampled_at, sample_cost):
                    self._write_sample(watched)
                    sampled_at = time.monotonic()
                    sample_cost = sampled_at - now
                if done or now - saved_at >= self.config.save_every:
                    before = time.monotonic()
                    self._check(figures)
                    self._save(len(training))
                    saved_at = time.monotonic()
                    save_cost = saved_at - before
                    panel.saved()
                if done:
                    break
                figures = self._step(photos)
                if now - logged_at >= LOG_SECONDS or self.progress.steps == 1:
                    logged_at = now
                    rate = (self.progress.images - images_before) / (time.monotonic() - began)
                    self._log(figures, rate, panel)
        rate = (self.progress.images - images_before) / (time.monotonic() - began)
        self._film()
        self.progress.seconds = earlier + time.monotonic() - self.clock
        return TrainSummary(
            self.folder,
            self.folder / checkpoints.MODEL,
            self.progress.steps,
            self.progress.images,
            self.progress.seconds,
            rate,
            finished=finished,
            stopped_by=None if finished else stop.signal,
        )

    # --- the step ---------------------------------------------------------------------------------------------------

    def _step(self, photos: Photos) -> dict[str, Tensor]:
        """One step: the discriminator learns, then the generator. Returns the losses, on the device."""
        config, progress = self.config, self.progress
        random = Random(f"{config.seed} {progress.steps}")  # a step knows its own dice: nothing to save for a resume
        torch.manual_seed(random.getrandbits(63))
        photo = photos.crops(self._indices(len(photos)), config.size, random)
        photo = photo.contiguous(memory_format=torch.channels_last)
        shown, _ = self.condition.randomised(random)(photo)
        shown = shown.contiguous(memory_format=torch.channels_last)
        rate = config.learning_rate * min(1.0, 2 * (1 - progress.fraction(config)))
        adam_g, adam_d = self.optimisers
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate

        with autocast(self.device):
            painted = self.generator(shown)

            # 1. discriminator: photo against painting
            both, features = self.discriminator(shown.repeat(2, 1, 1, 1), torch.cat([photo, painted.detach()]))
            real, fake = both.chunk(2)
            wanted = [feature.chunk(2)[0].detach() for feature in features]
            loss_d = losses.discriminator_hinge(real, fake)
        adam_d.zero_grad(set_to_none=True)
        loss_d.backward()  # type: ignore[no-untyped-call]
        adam_d.step()

        # 2. generator: convince, match features, stay near the photo
        self.discriminator.requires_grad_(False)
        with autocast(self.device):
            score, features = self.discriminator(shown, painted)
            convince = losses.generator_hinge(score)
            matching = losses.feature_matching(wanted, features)
            l1 = (painted - photo).abs().mean()
            loss_g = convince + config.feature_matching * matching + config.l1 * l1
        adam_g.zero_grad(set_to_none=True)
        loss_g.backward()  # type: ignore[no-untyped-call]
        adam_g.step()
        self.discriminator.requires_grad_(True)

        progress.steps += 1
        progress.images += len(photo)
        self._follow()
        return {
            "d": loss_d.detach(),
            "g": loss_g.detach(),
            "adversarial": convince.detach(),
            "matching": matching.detach(),
            "l1": l1.detach(),
            "real": (real > 0).float().mean(),
            "fake": (fake < 0).float().mean(),
        }

    def _indices(self, count: int) -> list[int]:
        """The photos of this step: each epoch is its own shuffle of all of them."""
        first = self.progress.images
        return [self._shuffled(i // count, count)[i % count] for i in range(first, first + self.batch)]

    def _shuffled(self, epoch: int, count: int) -> list[int]:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, Random(f"{self.config.seed} epoch {epoch}").sample(range(count), count)
        return self._order

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the generator; its half-life grows with a young run (StyleGAN2-ADA's ramp-up)."""
        half_life = min(self.config.ema_images, max(1.0, 0.1 * self.progress.images))
        weight = 1 - 0.5 ** (self.batch / half_life)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight)

    # --- what surrounds it ------------------------------------------------------------------------------------------

    def _done(self, closing: float) -> bool:
        if self.config.steps:
            return self.progress.steps >= self.config.steps
        return self.progress.seconds + closing >= self.config.minutes * 60

    def _sample_due(self, since: float, cost: float) -> bool:
        budget = self.config.minutes * 60 / SAMPLES_WANTED
        return self.progress.samples == 0 or since >= max(budget, cost / OVERHEAD)

    def _watched(self, paths: list[Path]) -> Tensor:
        """The pictures in every sample grid: held-out photos, then the previews; (N, 3, size, size) in [-1, 1]."""
        even = np.linspace(0, len(paths) - 1, min(SAMPLED_PHOTOS, len(paths))).round().astype(int)
        pictures = [np.asarray(decode(path)) for path in [*(paths[i] for i in even), *self.preview]]
        return torch.cat(list(Photos(pictures, self.device).centres(self.config.size)))

    def _write_sample(self, watched: Tensor) -> None:
        translator = Translator(self.average, self.condition, self.device)
        with torch.no_grad():
            shown = torch.cat([self.condition(photo)[0] for photo in watched[:, None]])
        columns = [images.to_uint8(batch) for batch in (shown, translator.paint(shown), watched)]
        sheet = images.grid([picture for row in zip(*columns, strict=True) for picture in row], len(columns))
        with files.atomic(self.folder / "samples" / f"{self.progress.samples:04d}.png") as temporary:
            Image.fromarray(sheet).save(temporary)
        self.progress.samples += 1

    def _save(self, photos: int) -> None:
        header = {
            "condition": asdict(self.condition),
            "config": asdict(self.config),
            "progress": asdict(self.progress),
            "dataset": self.dataset.name,
            "photos": photos,
            "trained_on": torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type,
        }
        checkpoints.save_model(self.folder / checkpoints.MODEL, self.average, header)
        state = {
            "config": asdict(self.config),
            "progress": asdict(self.progress),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        checkpoints.save_state(self.folder, state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.progress = Progress(**state["progress"])
        console.print(
            f"resuming {self.folder} after {self.progress.steps} steps, {self.progress.seconds / 60:.1f} minutes"
        )

    def start_from(self, model: Path) -> None:
        """Start with the weights of another checkpoint (fine-tuning)."""
        for network in (self.generator, self.average):
            checkpoints.load_weights(network, model)
        console.print(f"starting from {model}")

    def _log(self, figures: dict[str, Tensor], rate: float, panel: TrainPanel) -> None:
        self._check(figures)
        values = {name: value.item() for name, value in figures.items()}
        row = {
            "steps": self.progress.steps,
            "images": self.progress.images,
            "seconds": round(self.progress.seconds, 2),
            "images_per_second": round(rate, 2),
            **{name: float(f"{value:.5g}") for name, value in values.items()},
        }
        with open(self.folder / checkpoints.LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        panel.update(self.progress.fraction(self.config), row)

    def _check(self, figures: dict[str, Tensor]) -> None:
        """Stop before a broken network is saved over a good one."""
        if not all(value.isfinite() for value in figures.values()):
            raise BeautyError(
                f"the losses became NaN at step {self.progress.steps}: the last good save in {self.folder} is kept; "
                f"try a smaller --learning-rate (it was {self.config.learning_rate:g}) under another --name"
            )

    def _film_cost(self) -> float:
        """Seconds that the training film will take, roughly: it is part of the budget."""
        return 0.5 + 0.03 * self.progress.samples

    def _film(self) -> None:
        """The samples as a film, with the last one held."""
        try:
            from beautynet.media import Frame, writing
        except ModuleNotFoundError as missing:
            console.print(f"no training film: {missing.name} is not installed (`pip install av`)", style="yellow")
            return
        sheets = [np.asarray(Image.open(path)) for path in sorted((self.folder / "samples").glob("[0-9]*.png"))]
        sheets = [sheet for sheet in sheets if sheet.shape == sheets[-1].shape]
        height, width = sheets[-1].shape[:2]
        with writing(self.folder / FILM, (width, height), rate=Fraction(FILM_RATE)) as film:
            for i, sheet in enumerate(sheets):
                held = 2 * FILM_RATE if i == len(sheets) - 1 else 1
                film.write(Frame(sheet, Fraction(i, FILM_RATE), Fraction(held, FILM_RATE)))


class _Stop:
    """Catch Ctrl-C and SIGTERM: note the first, so that the run can save; a second one goes through."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.signal = number
        console.print("stopping: saving first (again to quit at once)", style="yellow")
        self._restore()
