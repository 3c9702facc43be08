"""pix2pix under a wall-clock budget (Isola et al. 2016): a U-Net learns to paint the photo from its condition.

The loop is: done? - save what is due - step, on one path from the first step to the last. The learning rate, the
moving average and the samples follow `fraction`, what is spent of the budget; seconds spent are saved with the
state, so the same command goes on where a run was stopped, and spends only what is left. Where colours are
borrowed, the second half practises on made-up scenes, too, which nobody has a photo of: a street is as unlike flowers.
"""

from __future__ import annotations

import copy
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beautynet import checkpoint as checkpoints
from beautynet import files, images, losses
from beautynet.backbones import Eyes
from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.console import Stop, console
from beautynet.dataset import Dataset, Photos, evenly
from beautynet.decode import Unreadable, decode
from beautynet.devices import autocast, pick_device
from beautynet.errors import BeautyError
from beautynet.health import Finding
from beautynet.networks import GROUPS, GROUPS_BEFORE, PRESETS, Discriminator, Generator, depth_for
from beautynet.panel import TrainPanel
from beautynet.replay import Replay
from beautynet.scenes import scenes
from beautynet.translator import Translator

T = TypeVar("T")
SAMPLED_PHOTOS = 4
SAMPLES_WANTED = 60
"""How many grids a run leaves for the training film, if their cost allows."""
OVERHEAD = 0.05
"""At most this share of the time goes into samples."""
LOG_SECONDS = 1.0
LENDERS = 128
"""So many training photos lend their colours to what will be painted."""
SCENES, PRACTICE_FROM, PRACTICE_SHARE = 256, 0.5, 0.25
"""So many made-up scenes there are to practise on; after that share of the budget, they are that share of a step."""
EXAMINED_PHOTOS = 8
"""So many photos trained on, and so many held out, are painted now and then to see how the network does."""
EXAMINE_SECONDS, EXAMINE_SHARE = 30.0, 0.005
"""Seconds between two such looks at least, and the share of the time that they may take."""
THUMBNAIL = 16
"""Side in px at which pictures are compared then: composition and colour, not grain."""
SURE = 0.5
"""A discriminator that scores photo and painting nearer than this has nothing yet that it could know by heart."""
COMPILED_MINUTES, COMPILED_STEPS = 3, 5000
"""A run with so much before it gains more than the minute that it takes to make code for a GPU."""
OUT_OF_MEMORY = re.compile("out of memory|allocate memory|ALLOC_FAILED")
"""How each device says it, where it has no class of its own for it."""
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
    peak_memory: int | None
    """The most bytes in use at once: of the GPU, or of this process on a CPU; None where nobody counts."""
    findings: tuple[Finding, ...]
    """What was wrong with it at the end, in plain words."""


def train(
    data: str | Path | None = None,
    *,
    name: str | None = None,
    device: str = "auto",
    init: str | Path | None = None,
    preview: files.Paths = (),
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
    # the generator's norm has as many groups as where it goes on, or starts from, has
    if state is not None:
        mixes = any(name.startswith("mixing.") for name in state["discriminator"])
        run = Run(config, dataset, folder, chosen, clock, int(state.get("groups", GROUPS_BEFORE)), mixes)
        run.restore(state)
    elif init is not None:
        other, _ = checkpoints.load_generator(model := checkpoints.find(init))
        run = Run(config, dataset, folder, chosen, clock, other.groups)
        run.start_from(other, model)
    else:
        run = Run(config, dataset, folder, chosen, clock, GROUPS)
    run.preview = files.listed(preview)
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

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        folder: Path,
        device: torch.device,
        clock: float,
        groups: int = GROUPS,
        mixes: bool = True,
    ) -> None:
        self.config, self.dataset, self.folder, self.device = config, dataset, folder, device
        self.clock = clock
        assert config.batch
        assert config.preset  # for_device has filled them in
        self.batch = config.batch
        self.progress = Progress()
        self.condition = Condition(
            config.condition, abstraction=config.abstraction, size=config.size, k=config.k, palette=config.palette
        )
        self.scenes = Photos(scenes(SCENES, config.size, config.seed) if config.scenes else [], device)
        self.preview: list[Path] = []
        self.photos_before: int | None = None
        self._complaints: set[str] = set()
        self._epoch, self._order = -1, list[int]()
        torch.manual_seed(config.seed)
        layout: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
        self.generator = Generator(PRESETS[config.preset], depth_for(config.size), groups).to(**layout)
        self.eyes = Eyes().to(device)
        self.discriminator = Discriminator(self.eyes.channels, mixes=mixes).to(**layout)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [self._adam(self.generator), self._adam(self.discriminator)]
        self.paint: Callable[[Tensor], Tensor] = self.generator
        self.look: Callable[[Tensor], list[Tensor]] = self.eyes
        self.learn = Replay(self._learn, device) if device.type == "cuda" else self._learn
        # first in the queue: it is many small things, and the networks are few large ones
        self.ahead = torch.cuda.Stream(device, -1) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        recorded = self.device.type == "cuda"  # then the rate has to be where the recording finds it
        return torch.optim.Adam(
            trainable(network),
            lr=torch.tensor(self.config.learning_rate, device=self.device) if recorded else self.config.learning_rate,
            betas=(0.5, 0.99),
            fused=self.device.type != "mps",
            capturable=recorded,
        )

    def __call__(self) -> TrainSummary:
        """Train until the budget is spent or a signal comes; save; make the training film."""
        earlier = self.progress.seconds
        images_before = self.progress.images
        checkpoints.rewind(self.folder, self.progress.steps, self.progress.samples)
        files.clear_leftovers(self.folder)
        training, held_out = self.dataset.split()
        photos = Photos.load(training, self.config.size, self.device)
        if self.photos_before not in (None, len(photos)):
            console.print(f"{len(photos)} photos now, {self.photos_before} before")
        self.condition = self.condition.lent_by(photos.centres(self.config.size, most=LENDERS))
        watched = self._watched(held_out, photos)
        examiner = _Examiner(self, *(self._squares(paths, EXAMINED_PHOTOS) for paths in (training, held_out)))
        if self._worth_compiling():
            self.compile(photos)
        saved_at = sampled_at = logged_at = time.monotonic()
        save_cost = sample_cost = 0.0
        figures: dict[str, Tensor] = {}
        stop = Stop()
        began = time.monotonic()
        with stop, TrainPanel(self.folder, self.config, len(photos), self.device) as panel:
            while True:
                now = time.monotonic()
                self.progress.seconds = earlier + now - self.clock
                closing = save_cost + sample_cost + self._film_cost()
                if finished := self._done(closing):
                    self.progress.seconds += closing  # what follows belongs to the budget
                done = finished or stop.signal is not None
                if done or self._sample_due(now - sampled_at, sample_cost):
                    with self._going_on():
                        self._write_sample(watched)
                    sampled_at = time.monotonic()
                    sample_cost = sampled_at - now
                if finished:  # before the last save: after it there is nothing left for the same command to do
                    self._film()
                if done or now - saved_at >= self.config.save_every:
                    before = time.monotonic()
                    self._check(figures)
                    with self._going_on(unless=done):
                        self._save(len(photos))
                        panel.saved()
                    saved_at = time.monotonic()
                    save_cost = saved_at - before
                if done:
                    break
                figures = self._step_that_fits(photos)
                if now - logged_at >= LOG_SECONDS or self.progress.steps == 1:
                    logged_at = now
                    rate = (self.progress.images - images_before) / (time.monotonic() - began)
                    self._check(figures)
                    also = {"images_per_second": rate, "photos": len(photos), **examiner()}
                    panel.update(self.progress.fraction(self.config), self._log(figures, also))
        rate = (self.progress.images - images_before) / (time.monotonic() - began)
        if not finished:
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
            peak_memory=peak_memory(self.device),
            findings=panel.findings,
        )

    # --- the step ---------------------------------------------------------------------------------------------------

    def _step(self, photos: Photos) -> dict[str, Tensor]:
        """One step of both networks. Returns the losses, on the device."""
        config, progress = self.config, self.progress
        random = Random(f"{config.seed} {progress.steps}")  # a step knows its own dice: nothing to save for a resume
        torch.manual_seed(random.getrandbits(63))
        shown, made_up, photo = self._pairs(photos, random)
        rate = config.learning_rate * min(1.0, 2 * (1 - progress.fraction(config)))
        for optimiser in self.optimisers:
            group = optimiser.param_groups[0]
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        figures = self.learn(shown, made_up, photo)
        progress.steps += 1
        progress.images += len(photo)
        self._follow()
        return figures

    def _pairs(self, photos: Photos, random: Random) -> tuple[Tensor, Tensor, Tensor]:
        """What this step shows of photos, of scenes, and the photos: (N - S, 3, size, size), S, and N of them."""
        if self.ahead is None:
            return self._crops(photos, random)
        now = torch.cuda.current_stream()  # beside it, so that they are ready when the step before has been learnt from
        with torch.cuda.stream(self.ahead):
            pairs = self._crops(photos, random)
        now.wait_stream(self.ahead)
        for each in pairs:
            each.record_stream(now)
        return pairs

    def _crops(self, photos: Photos, random: Random) -> tuple[Tensor, Tensor, Tensor]:
        photo = photos.crops(self._indices(len(photos)), self.config.size, random)
        photo = photo.contiguous(memory_format=torch.channels_last)
        recipe = self.condition.randomised(random)
        practises = self.config.scenes and self.progress.fraction(self.config) >= PRACTICE_FROM
        count = int(PRACTICE_SHARE * len(photo) + 0.5) if practises else 0
        if not count:
            shown, _ = recipe(photo)
            return shown, shown[:0], photo
        paired = len(photo) - count
        drawn = self.scenes.crops(random.choices(range(SCENES), k=count), self.config.size, random)
        shown, memory = recipe(torch.cat([photo[:paired], drawn]))
        made_up = self.condition.lend(shown, memory)[paired:]  # as everyday pictures will be shown
        return shown[:paired], made_up, photo

    def _learn(self, shown: Tensor, made_up: Tensor, photo: Tensor) -> dict[str, Tensor]:
        """Both networks learn from what `_pairs` gives. Returns the losses, on the device."""
        config, count = self.config, len(shown)
        everything = _beside(shown, made_up)
        unpaired = torch.zeros_like(everything)
        adam_g, adam_d = self.optimisers
        with autocast(self.device), parametrize.cached():  # one spectral norm for both looks
            painted = self.paint(everything)
            known, seen = self.look(photo), self.look(painted)
            wanted, features = [maps[:count] for maps in known], [maps[:count] for maps in seen]
            real, fake = self.discriminator(everything[:count], wanted, features)
            # the discriminator tells photo from painting; the generator convinces it, and stays near the photo
            loss_d = losses.discriminator_hinge(real, fake)
            convince = losses.generator_hinge(fake)
            unlike = losses.perceptual(wanted, features)
            texture = losses.texture(wanted, features)
            l1 = (painted[:count] - photo[:count]).abs().mean()
            loss_g = convince + config.perceptual * unlike + config.texture * texture + config.l1 * l1
            practice = torch.zeros_like(l1)
            if len(made_up):
                # nobody knows how a made-up scene would look: it has but to look like some photo, whatever was shown
                assert config.scenes
                (photos,) = self.discriminator(unpaired, known)
                (dreams,) = self.discriminator(unpaired[count:], [maps[count:] for maps in seen])
                practice = losses.generator_hinge(dreams)
                loss_d = loss_d + config.scenes * losses.discriminator_hinge(photos, dreams)
                loss_g = loss_g + config.scenes * practice
        # Both learn from one look at each picture (simultaneous gradient descent), where taking turns costs a second
        # look at the painting; neither's loss reaches into the other.
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_d, inputs=trainable(self.discriminator), retain_graph=True)
        torch.autograd.backward(loss_g, inputs=trainable(self.generator))
        adam_d.step()
        adam_g.step()
        return {
            "d": loss_d.detach(),
            "g": loss_g.detach(),
            "adversarial": convince.detach(),
            "perceptual": unlike.detach(),
            "texture": texture.detach(),
            "scenes": practice.detach(),
            "l1": l1.detach(),
            "real": torch.stack([(scores > 0).float().mean() for scores in real]).mean(),
            "fake": torch.stack([(scores < 0).float().mean() for scores in fake]).mean(),
        }

    def compile(self, photos: Photos) -> None:
        """Have torch make code of the generator and the eyes for this GPU; where it cannot, all stays as it was."""

        def tried() -> None:
            shown, made_up, photo = self._pairs(photos, Random(0))
            with autocast(self.device):
                unlike = losses.perceptual(self.look(photo), self.look(self.paint(_beside(shown, made_up))))
            torch.autograd.backward(unlike, inputs=trainable(self.generator))

        try:
            self.paint, self.look = (torch.compile(network, dynamic=False) for network in (self.generator, self.eyes))
            with console.status("making code for this GPU, which takes about a minute"):
                self._that_fits(tried)
        except BeautyError:
            raise
        except Exception as error:  # torch's, triton's, a missing C compiler's: they have no class in common
            self.paint, self.look = self.generator, self.eyes
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            complaint = f"training takes longer, as no code could be made for this GPU ({reason})"
            console.print(complaint, style="yellow", markup=False)

    def _worth_compiling(self) -> bool:
        if self.device.type != "cuda":
            return False
        left = 1 - self.progress.fraction(self.config)
        steps = self.config.steps
        return left * steps >= COMPILED_STEPS if steps else left * self.config.minutes >= COMPILED_MINUTES

    def score(self, shown: Tensor, pictures: Tensor) -> Tensor:
        """How real the discriminator thinks that pictures (N, 3, H, W) of these conditions are: their mean score."""
        self.discriminator.eval()  # in training every look moves its spectral norm's estimate on
        (scores,) = self.discriminator(shown, self.eyes(pictures))
        self.discriminator.train()
        return -losses.generator_hinge(scores)

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

    def _step_that_fits(self, photos: Photos) -> dict[str, Tensor]:
        """One step; where the memory does not do for it, with half the batch from here on."""
        return self._that_fits(lambda: self._step(photos))

    def _that_fits(self, work: Callable[[], T]) -> T:
        """What `work` returns; it is called again with half the batch where the memory does not do for it."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and not OUT_OF_MEMORY.search(str(error)):
                    raise
                if self.batch == 1:
                    raise BeautyError("out of memory at batch 1: try a smaller --size or --preset") from error
            # out here nothing holds the step's tensors any more
            self.batch //= 2
            if isinstance(self.learn, Replay):
                self.learn.forget()
            for optimiser in self.optimisers:
                optimiser.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            console.print(f"out of memory: going on with batches of {self.batch}", style="yellow")

    # --- what surrounds it ------------------------------------------------------------------------------------------

    def _done(self, closing: float) -> bool:
        if self.config.steps:
            return self.progress.steps >= self.config.steps
        return self.progress.seconds + closing >= self.config.minutes * 60

    def _sample_due(self, since: float, cost: float) -> bool:
        budget = self.config.minutes * 60 / SAMPLES_WANTED
        return self.progress.samples == 0 or since >= max(budget, cost / OVERHEAD)

    def _watched(self, held_out: Sequence[Path], photos: Photos) -> Tensor:
        """The pictures in every sample grid: held-out photos, then the previews; (N, 3, size, size) in [-1, 1]."""
        previews = Photos([np.asarray(decode(path)) for path in self.preview], self.device)
        squares = self._squares(held_out, SAMPLED_PHOTOS)
        if not len(squares):
            squares = next(photos.centres(self.config.size))
        return torch.cat([squares, *previews.centres(self.config.size)])

    def _squares(self, paths: Sequence[Path], most: int) -> Tensor:
        """The middle squares of up to `most` of the photos, evenly chosen: (N, 3, size, size) in [-1, 1]."""
        pictures = []
        for path in (paths[i] for i in evenly(len(paths), most)):
            with suppress(Unreadable):  # it has been named with the others, or is gone since
                pictures.append(np.asarray(decode(path)))
        squares = [*Photos(pictures, self.device).centres(self.config.size)]
        return torch.cat([torch.empty(0, 3, self.config.size, self.config.size, device=self.device), *squares])

    @contextmanager
    def _going_on(self, unless: bool = False) -> Iterator[None]:
        """A disk that is full for an hour must not end a run of a day: say so, and try again the next time."""
        try:
            yield
        except (BeautyError, OSError) as error:
            if unless:
                raise
            if str(error) not in self._complaints:
                self._complaints.add(str(error))
                console.print(f"{error} (training goes on meanwhile)", style="yellow")

    def _write_sample(self, watched: Tensor) -> None:
        translator = Translator(self.average, self.condition, self.device)
        with torch.no_grad():
            eyes = [self.condition.own] * (len(watched) - len(self.preview)) + [self.condition] * len(self.preview)
            shown = torch.cat([see(photo)[0] for see, photo in zip(eyes, watched[:, None], strict=True)])
        columns = [images.to_uint8(batch) for batch in (shown, translator.paint(shown), watched)]
        sheet = images.grid([picture for row in zip(*columns, strict=True) for picture in row], len(columns))
        with files.atomic(self.folder / checkpoints.SAMPLES / f"{self.progress.samples:04d}.png") as temporary:
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
            "photos": photos,
            "batch": self.batch,
            "groups": self.generator.groups,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        checkpoints.save_state(self.folder, state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. Raises BeautyError where its networks are other ones."""
        try:
            self.generator.load_state_dict(state["generator"])
            self.discriminator.load_state_dict(state["discriminator"])
            self.average.load_state_dict(state["average"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                settings = optimiser.state_dict()["param_groups"]  # those of this device
                optimiser.load_state_dict({**saved, "param_groups": settings})
        except (RuntimeError, ValueError) as error:
            raise BeautyError(
                f"{self.folder} was begun by a beautynet with other networks: --name for a new run"
            ) from error
        self.progress = Progress(**state["progress"])
        self.photos_before = state.get("photos")
        self.batch = state.get("batch", self.batch)  # less than asked for, where the memory did not do
        console.print(
            f"resuming {self.folder} after {self.progress.steps} steps, {self.progress.seconds / 60:.1f} minutes"
        )

    def start_from(self, other: Generator, model: Path) -> None:
        """Start with the weights of another checkpoint (fine-tuning)."""
        for network in (self.generator, self.average):
            checkpoints.fill(network, other.state_dict(), model)
        console.print(f"starting from {model}")

    def _log(self, figures: dict[str, Tensor], also: dict[str, float]) -> dict[str, float | None]:
        """Add a row to the log; what is not a number is null there."""
        values = {**also, **{name: value.item() for name, value in figures.items()}}
        row = {
            "steps": self.progress.steps,
            "images": self.progress.images,
            "seconds": round(self.progress.seconds, 2),
            **{name: float(f"{value:.5g}") if math.isfinite(value) else None for name, value in values.items()},
        }
        with self._going_on(), open(self.folder / checkpoints.LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        return row

    def _check(self, figures: dict[str, Tensor]) -> None:
        """Stop before a broken network is saved over a good one."""
        if not all(value.isfinite() for value in figures.values()):
            self._log(figures, {})
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
            from beautynet.frames import Frame
            from beautynet.rendering import writing
        except ModuleNotFoundError as missing:
            console.print(f"no training film: {missing.name} is not installed (`pip install av`)", style="yellow")
            return
        sheets = [
            np.asarray(Image.open(path)) for path in sorted((self.folder / checkpoints.SAMPLES).glob("[0-9]*.png"))
        ]
        sheets = [sheet for sheet in sheets if sheet.shape == sheets[-1].shape]
        height, width = sheets[-1].shape[:2]
        with self._going_on(), writing(self.folder / FILM, (width, height), rate=Fraction(FILM_RATE)) as film:
            for i, sheet in enumerate(sheets):
                held = 2 * FILM_RATE if i == len(sheets) - 1 else 1
                film.write(Frame(sheet, Fraction(i, FILM_RATE), Fraction(held, FILM_RATE)))


def _beside(*shown: Tensor) -> Tensor:
    return torch.cat(shown).contiguous(memory_format=torch.channels_last)


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights of a network that are not frozen."""
    return [weight for weight in network.parameters() if weight.requires_grad]


class _Examiner:
    """Now and then paints the same few photos, for what losses do not tell."""

    def __init__(self, run: Run, seen: Tensor, unseen: Tensor) -> None:
        self.run, self.count = run, len(seen)
        self.photos = torch.cat([seen, unseen])
        self.shown = [run.condition.own(photo)[0] for photo in self.photos[:, None]]
        self.found: dict[str, float] = {}
        self.due = 0.0

    def __call__(self) -> dict[str, float]:
        """The newest figures; under two photos there are none.

        `seen`, `unseen`: how far pictures are from their own photo, as a share of how far from the other photos, for
        photos trained on and held out. 1: swapping the conditions would change nothing; 0: a copy.
        `variety`: how far pictures are from each other, as a share of how far photos are. 0: all alike.
        `by_heart`: how much of the lead that a photo has over its painting, in the discriminator's eyes, is gone where
        the photo was held out (after r_v of StyleGAN2-ADA; Karras et al. 2020). 0: nothing; 1: it cannot tell them.
        """
        began = time.monotonic()
        if began >= self.due and len(self.photos) > 1:
            self.found = self._examine()
            self.due = began + max(EXAMINE_SECONDS, (time.monotonic() - began) / EXAMINE_SHARE)
        return self.found

    @torch.no_grad()
    def _examine(self) -> dict[str, float]:
        translator = Translator(self.run.average, self.run.condition, self.run.device)
        painted = torch.cat([translator.paint(shown) for shown in self.shown])
        own, others = _distances(painted, self.photos)
        share = own / others.clamp_min(1e-6)
        unlike = [_distances(pictures, pictures)[1].mean() for pictures in (painted, self.photos)]
        found = {"seen": share[: self.count].mean(), "variety": unlike[0] / unlike[1].clamp_min(1e-6)}
        if self.count < len(self.photos):
            photo, painting = (
                torch.stack([self.run.score(*pair) for pair in zip(self.shown, those, strict=True)])
                for those in (self.photos[:, None], painted[:, None])
            )
            lead = photo - painting
            known, unknown = lead[: self.count].mean(), lead[self.count :].mean()
            found |= {"unseen": share[self.count :].mean(), "by_heart": (known - unknown) / known.clamp_min(SURE)}
        return {name: value.item() for name, value in found.items()}


def _distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance of each of N pictures to its fellow in N others, and to the rest of them, on small copies: (N,)."""
    a, b = (F.adaptive_avg_pool2d(batch, THUMBNAIL).flatten(1) for batch in (a, b))
    between = torch.cdist(a, b, p=1) / a.shape[1]
    own = between.diagonal()
    return own, (between.sum(1) - own) / (len(a) - 1)


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use at once so far: of the GPU, or of this process on a CPU; None where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
