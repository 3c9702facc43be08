"""pix2pix under a wall-clock budget (Isola et al. 2016): a U-Net learns to paint the photo from its condition.

The loop is: done? - save what is due - step, on one path from the first step to the last. Seconds spent are saved with
the state, so the same command goes on where a run was stopped, and spends only what is left. How networks learn is in
`training/trainer.py`.
"""

from __future__ import annotations

import errno
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet import files, images
from beautynet.config import TrainConfig
from beautynet.console import Stop, console
from beautynet.datasets.dataset import Dataset, Photos, evenly
from beautynet.datasets.dedup import digests
from beautynet.decode import SUFFIXES, Unreadable, decode, decode_for
from beautynet.devices import peak_memory, pick_device
from beautynet.errors import OUT_OF_MEMORY, BeautyError, UsageError
from beautynet.machine import cores
from beautynet.training.examiner import Examiner
from beautynet.training.health import Finding
from beautynet.training.panel import TrainPanel
from beautynet.training.trainer import Progress, Trainer
from beautynet.translator import Translator

SAMPLED_PHOTOS = 4
SAMPLES_WANTED = 60
"""How many grids a run leaves for the training film, if their cost allows."""
OVERHEAD = 0.05
"""At most this share of the time goes into samples."""
LOG_SECONDS = 1.0
EXAMINED_PHOTOS = 8
"""So many photos trained on, and so many held out, are painted now and then to see how the network does."""
COMPILED_MINUTES, COMPILED_STEPS = 3, 5000
"""A run with more than that before it gains more than the minute that it takes to make code for a GPU."""
COMPILED_CORES = 16
"""With so many cores it is a minute; with two, as Colab has, it was not measured."""
FILM, FILM_RATE = "training.mp4", 12
FULL = errno.ENOSPC, errno.EDQUOT
"""What somebody can make room for while a run goes on."""


@dataclass(frozen=True)
class TrainSummary:
    """What a call of `train` did. Ctrl-C does not raise: look at `finished` before going on with it."""

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
    hours: float | None = None,
    init: str | Path | None = None,
    preview: files.Paths = (),
    practice: files.Paths = (),
    started: float | None = None,
    **settings: Any,
) -> TrainSummary:
    """Train on the dataset `data` (None: the newest in `data/`) into `checkpoints/<name or dataset>`.

    The same call again resumes. Ctrl-C and SIGTERM save, and end it with a summary that is not `finished`. `settings`
    are the fields of `TrainConfig`, `hours` 60 of its minutes. `init` is a checkpoint to start from;
    `preview` are pictures to watch beside the held-out photos; `practice` are everyday pictures, or folders of them, to
    practise on beside made-up scenes, whatever the condition is; `started` is when the budget began, on
    `time.monotonic()`'s clock (default: now). Raises BeautyError.
    """
    clock = time.monotonic() if started is None else started
    if hours is not None and settings.get("minutes") is not None:
        raise UsageError("give --hours or --minutes, not both")
    if hours is not None:
        settings["minutes"] = hours * 60
    chosen = pick_device(device)
    exercises = _exercises(files.listed(practice))
    if exercises and settings.get("scenes") is None:
        settings["scenes"] = 1.0
    config = TrainConfig(**settings).for_device(chosen.type)
    if exercises and not config.scenes:
        raise UsageError("--practice has no weight with --scenes 0: give another, or leave it out")
    if exercises and config.batch == 1:
        raise UsageError("a step of one photo has no room for --practice: give --batch 2 or more")
    dataset = Dataset.open(data)
    watched = [np.asarray(decode_for(path, "to watch")) for path in files.listed(preview)]
    folder = checkpoints.CHECKPOINTS / (name or dataset.name)
    dice = [chosen] if chosen.type == "cuda" else []
    with checkpoints.alone(folder), torch.random.fork_rng(dice):  # thrown anew for each step
        state = checkpoints.load_state(folder)
        if state is not None:
            for broken in state["unreadable"]:
                console.print(f"{folder}/{broken} is damaged: going on from the save before it", style="yellow")
            if checkpoints.mend(folder, state):
                console.print(f"{folder / checkpoints.MODEL} was damaged or gone: written anew", style="yellow")
            _check_resumable(state, config, folder)
            trainer = Trainer.resumed(config, chosen, state, folder)
            seen = checkpoints.read_training_set(folder)
            spent = trainer.progress
            console.print(f"resuming {folder} after {spent.steps} steps, {spent.seconds / 60:.1f} minutes")
        elif init is not None:
            trainer = Trainer.tuning(config, chosen, model := checkpoints.find(init))
            console.print(f"starting from {model}")
            seen = checkpoints.read_training_set(model.parent)
        else:
            trainer, seen = Trainer(config, chosen), checkpoints.TrainingSet()
        return Run(trainer, dataset, folder, clock, watched, exercises, (state or {}).get("photos"), seen)()


def _exercises(asked: Sequence[Path]) -> list[Path]:
    """Pictures, and those in folders; BeautyError where something is not there, or nothing is in it."""
    for path in asked:
        if not path.exists():
            raise BeautyError(f"{path} is not there: practise on other pictures, or on folders of them")
    found = [path for path, _ in files.named(asked, SUFFIXES)]
    if asked and not found:
        raise BeautyError(f"no pictures in {', '.join(map(str, asked))}: practise on others")
    return found


def _check_resumable(state: dict[str, Any], config: TrainConfig, folder: Path) -> None:
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
    """One training run: whose networks, on which photos, in which folder."""

    def __init__(
        self,
        trainer: Trainer,
        dataset: Dataset,
        folder: Path,
        clock: float,
        preview: Sequence[np.ndarray],
        exercises: Sequence[Path],
        photos_before: int | None,
        seen_before: checkpoints.TrainingSet,
    ) -> None:
        self.trainer, self.config, self.device = trainer, trainer.config, trainer.device
        self.progress = trainer.progress
        self.dataset, self.folder, self.clock = dataset, folder, clock
        self.preview, self.exercises = preview, exercises
        self.photos_before, self.seen_before = photos_before, seen_before
        self._ending = False
        self._complaints: set[tuple[str, bool]] = set()

    def __call__(self) -> TrainSummary:
        """Train until the budget is spent or a signal comes; save; make the training film."""
        earlier, images_before = self.progress.seconds, self.progress.images
        photos, watched, examiner = self._prepared()
        if self._worth_compiling():
            self.trainer.compile(photos)
        began = saved_at = sampled_at = logged_at = time.monotonic()
        save_cost = sample_cost = 0.0
        figures: dict[str, Tensor] = {}
        with Stop() as stop, TrainPanel(self.folder, self.config, len(photos), self.device) as panel:
            while True:
                now = time.monotonic()
                self.progress.seconds = earlier + now - self.clock
                closing = save_cost + sample_cost + self._film_cost()
                if finished := self.progress.steps > 0 and self._done(closing):  # a network that has seen a photo
                    self.progress.seconds += closing  # what follows belongs to the budget
                done = self._ending = finished or stop.signal is not None
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
                figures = self.trainer.step(photos)
                if now - logged_at >= LOG_SECONDS or self.progress.steps == 1:
                    logged_at = now
                    rate = (self.progress.images - images_before) / (time.monotonic() - began)
                    self._check(figures)
                    also = {"images_per_second": rate, "photos": len(photos), **self._looked(examiner)}
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

    def _prepared(self) -> tuple[Photos, Tensor, Examiner]:
        """What the steps need, in a folder that is as the last save knew it: photos, `_watched` pictures, examiner."""
        checkpoints.rewind(self.folder, self.progress.steps, self.progress.samples)
        files.clear_leftovers(self.folder)
        training, held_out = self.dataset.split(self.seen_before.pictures, self.seen_before.held_out)
        everyday = Photos.load(self.exercises, self.config.size, self.device) if self.exercises else None
        photos = Photos.load(training, self.config.size, self.device)
        if self.photos_before not in (None, len(photos)):
            console.print(f"{len(photos)} photos now, {self.photos_before} before")
        self.trainer.meet(photos, everyday)
        seen = self.seen_before.pictures.union(digests([*training, *self.exercises]).values())
        spared = self.seen_before.held_out.union(digests(held_out).values())
        place = str(self.dataset.folder.resolve())
        checkpoints.write_training_set(self.folder, checkpoints.TrainingSet(place, seen, spared))
        examined = (self._squares(paths, EXAMINED_PHOTOS) for paths in (training, held_out))
        return photos, self._watched(held_out, photos), Examiner(self.trainer, *examined)

    def _worth_compiling(self) -> bool:
        if self.device.type != "cuda":
            return False
        left = 1 - self.progress.fraction(self.config)
        steps = self.config.steps
        slower = max(1.0, (1 + COMPILED_CORES / cores()) / 2)  # half of it is one core's work, as we take it
        enough = COMPILED_STEPS * slower if steps else COMPILED_MINUTES * slower
        return left * (steps or self.config.minutes) > enough

    def _done(self, closing: float) -> bool:
        if self.config.steps:
            return self.progress.steps >= self.config.steps
        return self.progress.seconds + closing >= self.config.minutes * 60

    def _sample_due(self, since: float, cost: float) -> bool:
        budget = self.config.minutes * 60 / SAMPLES_WANTED
        return self.progress.samples == 0 or since >= max(budget, cost / OVERHEAD)

    def _watched(self, held_out: Sequence[Path], photos: Photos) -> Tensor:
        """The pictures in every sample grid: held-out photos, then the previews; (N, 3, size, size) in [-1, 1]."""
        previews = Photos(self.preview, self.device)
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
        except (BeautyError, OSError, RuntimeError) as error:
            # another program may have a GPU's memory, for now
            short = isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error))
            if unless or (isinstance(error, RuntimeError) and not short):
                raise
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """One line for all that lacks the same room, and one for each other failure: what, and what is to be done."""
        cause, said = error.__cause__ or error, str(error)
        full = isinstance(cause, OSError) and cause.errno in FULL
        lacking = "memory" if isinstance(error, RuntimeError) else "disk" if full else None
        if lacking == "memory":  # figures are in its text, others each time
            said = "out of memory"
        elif isinstance(error, OSError):
            said = f"{error.filename or self.folder} cannot be written ({error.strerror or error})"
        elif not self._ending:
            said = said.rpartition(": ")[0] or said  # its advice is for those who have to begin again
        if not self._ending:
            said += f": {'make room; ' if lacking else ''}training goes on meanwhile and tries again"
        reason = lacking or said, self._ending
        if reason not in self._complaints:
            self._complaints.add(reason)
            console.print(said, style="yellow")

    def _looked(self, examiner: Examiner) -> dict[str, float]:
        """What the examiner finds; what it found before while there is no memory for a look."""
        with self._going_on():
            return examiner()
        return examiner.found

    def _write_sample(self, watched: Tensor) -> None:
        condition = self.trainer.condition
        translator = Translator(self.trainer.average, condition, self.device)
        with torch.no_grad():
            eyes = [condition.own] * (len(watched) - len(self.preview)) + [condition] * len(self.preview)
            shown = torch.cat([see(photo)[0] for see, photo in zip(eyes, watched[:, None], strict=True)])
        columns = [images.to_uint8(batch) for batch in (shown, translator.paint(shown), watched)]
        sheet = images.grid([picture for row in zip(*columns, strict=True) for picture in row], len(columns))
        files.write_picture(self.folder / checkpoints.SAMPLES / f"{self.progress.samples:04d}.png", sheet)
        self.progress.samples += 1

    def _save(self, photos: int) -> None:
        header = {
            "condition": asdict(self.trainer.condition),
            "config": asdict(self.config),
            "progress": asdict(self.progress),
            "dataset": self.dataset.name,
            "photos": photos,
            "trained_on": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
        }
        header = checkpoints.save_model(self.folder / checkpoints.MODEL, self.trainer.average, header)
        checkpoints.save_state(self.folder, {**self.trainer.state(), "photos": photos, "header": header})

    def _log(self, figures: dict[str, Tensor], also: dict[str, float]) -> dict[str, float | None]:
        """Add a row to the log; what is not a number is null there."""
        values = {**also, **{name: value.item() for name, value in figures.items()}}
        row = {
            "steps": self.progress.steps,
            "images": self.progress.images,
            "seconds": round(self.progress.seconds, 2),
            **{name: float(f"{value:.5g}") if math.isfinite(value) else None for name, value in values.items()},
        }
        path = self.folder / checkpoints.LOG
        with self._going_on(), files.explaining(path), open(path, "a", encoding="utf-8") as log:
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
            from beautynet.film.frames import Frame
            from beautynet.film.rendering import writing
        except ModuleNotFoundError as missing:
            console.print(f"no training film: {missing.name} is not installed (`pip install av`)", style="yellow")
            return
        sheets = []
        for path in checkpoints.samples_in(self.folder):
            with suppress(Unreadable):  # a film of the others is a film
                sheets.append(np.asarray(decode(path)))
        sheets = [sheet for sheet in sheets if sheet.shape == sheets[-1].shape]
        if not sheets:
            return
        height, width = sheets[-1].shape[:2]
        with self._going_on(), writing(self.folder / FILM, (width, height), rate=Fraction(FILM_RATE)) as film:
            for i, sheet in enumerate(sheets):
                held = 2 * FILM_RATE if i == len(sheets) - 1 else 1
                film.write(Frame(sheet, Fraction(i, FILM_RATE), Fraction(held, FILM_RATE)))
