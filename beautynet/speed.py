"""How quick this machine trains and dreams: images/s, arithmetic, the share of the machine that is reached, memory.

What is timed is what runs: the training run's own step, the Translator's own film. Plain pix2pix stays out of the
package: where its script is found beside it (in a checkout) it runs in a process of its own, and its row is added.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.console import console
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.devices import has_bfloat16, peak_memory, pick_device
from beautynet.errors import UsageError
from beautynet.film.frames import Batch, Frame
from beautynet.networks import PRESETS, Generator, depth_for
from beautynet.training.trainer import Trainer
from beautynet.translator import Translator

PLAIN = Path(__file__).parents[1] / "benchmarks" / "plain_pix2pix.py"
WORKS = ("train", "translate")
CHUNK_SECONDS = 0.5
"""About so long is worked between two looks at the clock: a GPU must not wait for it."""


@dataclass(frozen=True)
class Speed:
    """The figures of one piece of work."""

    name: str
    images_per_second: float
    """Of training over both halves of a run, each of which takes as long."""
    gflop: float
    """Arithmetic of an image in GFLOP: products only, a multiplication and an addition count two."""
    loader_share: float
    """Share of the time that goes into data and conditions. Of a film they are found meanwhile: above 1 they are what
    holds it up."""
    startup_seconds: float
    """From the start of the process to the end of the first step."""
    peak_gb: float
    """The device's memory on a GPU, the process's elsewhere."""


@dataclass(frozen=True)
class Bench:
    """What a call of `bench` measured."""

    machine: str
    tflops: dict[str, float]
    """Measured rate of a large matrix product and of a 3x3 convolution, by precision."""
    speeds: list[Speed]
    plain: Speed | None = None
    """Plain pix2pix's, where it was measured."""

    def share(self, speed: Speed) -> float:
        """Share of the quickest measured rate that `speed` reaches."""
        return speed.images_per_second * speed.gflop / 1000 / max(self.tflops.values())

    def table(self) -> str:
        """For people."""
        lines = [
            self.machine,
            "TFLOP/s measured: " + ", ".join(f"{name} {rate:.3g}" for name, rate in self.tflops.items()),
            f"{'':38}{'images/s':>10}{'GFLOP/image':>12}{'of peak':>9}"
            f"{'data':>7}{'start':>9}{'memory':>10}{'plain':>8}",
        ]
        for s in [*self.speeds, *([self.plain] if self.plain else [])]:
            ratio = s.images_per_second / self.plain.images_per_second if self.plain else 0
            lines.append(
                f"{s.name:38}{s.images_per_second:10.2f}{s.gflop:12.1f}{self.share(s):9.1%}{s.loader_share:7.1%}"
                f"{s.startup_seconds:7.1f} s{s.peak_gb:7.2f} GB"
                + (f"{ratio:7.2f}x" if ratio and s.name.startswith("train") else "")
            )
        return "\n".join(lines)

    def json(self) -> str:
        """For programs."""
        return json.dumps(asdict(self), indent=1)


def bench(
    what: str = "train",
    *,
    size: int = 256,
    preset: str | None = None,
    batch: int | None = None,
    condition: str = "clusters",
    data: str | Path | None = None,
    device: str = "auto",
    seconds: float = 20.0,
    plain: bool = True,
    started: float | None = None,
) -> Bench:
    """Measure `what` ("train" or "translate") for about `seconds`; with `plain`, plain pix2pix beside our training.

    Plain pix2pix is measured at 128 and 256 px only, and from a checkout, which has its script. `batch` and `preset`
    are chosen by the device unless given; `data` is a dataset, without one the photos are noise. `started` is when the
    process began, on `time.monotonic()`'s clock. Raises BeautyError.
    """
    if what not in WORKS:
        raise UsageError(f"cannot bench {what!r}: choose from {', '.join(WORKS)}")
    if what != "train" and (data or batch):
        raise UsageError(f"only training takes photos and a batch: leave them out of `bench {what}`")
    clock = time.monotonic() if started is None else started
    where = pick_device(device)
    config = TrainConfig(size=size, preset=preset, batch=batch, condition=condition).for_device(where.type)
    work = training(config, where, data) if what == "train" else translating(config, where)
    speeds = [measure(*work, device=where, seconds=seconds, started=clock)]
    beside = what == "train" and plain and PLAIN.exists() and size in (128, 256)
    return Bench(_machine(where), peak(where), speeds, _plain(config, where, seconds) if beside else None)


class Work(NamedTuple):
    """What is measured."""

    name: str
    batch: int
    """Images that a call works on."""
    call: Callable[[], object]
    loading: Callable[[], object]
    """The part of it that is data and conditions."""
    counted: Callable[[], object] | None = None
    """The same work where nothing is seen of the call's arithmetic: it is replayed, or done in other threads."""


def training(config: TrainConfig, device: torch.device, data: str | Path | None) -> list[Work]:
    """The step of a training run in its first half, and in its second, which may practise on made-up scenes."""
    trainer = Trainer(config, device)
    if data is None:
        photos = Photos(noise_photos(2 * config.size, 4 / 3), device)  # as large as they are kept
    else:
        photos = Photos.load(Dataset.open(data).split()[0], config.size, device)
    if device.type == "cuda":
        trainer.compile(photos)
    trainer.step(photos)  # after it the batch is one that the memory does for
    fitting = replace(config, batch=trainer.batch)
    name = f"train {config.preset}, {config.size} px, batch {trainer.batch}, {_precision(device)}"

    def at(fraction: float) -> Work:
        spent = 60 * config.minutes * fraction

        def working(trainer: Trainer) -> Trainer:
            trainer.progress.seconds = spent
            return trainer

        return Work(
            name,
            trainer.batch,
            lambda: working(trainer).step(photos),
            lambda: working(trainer).pairs(photos, Random(0)),
            lambda: working(Trainer(fitting, device)).step(photos),
        )

    return [at(0.25), at(0.75)]


def translating(config: TrainConfig, device: torch.device) -> list[Work]:
    """The dream of a film of frames, 16:9, whose shorter side is the network's; reading and writing it are left out."""
    assert config.preset
    generator = Generator(PRESETS[config.preset], depth_for(config.size))
    translator = Translator(generator, Condition(config.condition, size=config.size), device)
    pictures = noise_photos(config.size, 16 / 9)[: translator.batch]
    batch = Batch([Frame(each, Fraction(n, 25), Fraction(1, 25)) for n, each in enumerate(pictures)], after_cut=False)
    frames = np.stack(pictures)
    shown, _, memory = translator.translate(frames)
    film = translator.dreams((batch for _ in repeat(None)), memory)
    name = f"translate {config.preset}, {frames.shape[2]}×{config.size} px, {_precision(device)}"

    def counted() -> None:  # one thread paints it, where the counter is
        for each in torch.split(shown, 1):
            translator.paint(each)

    return [Work(name, len(frames), lambda: next(film), lambda: translator.see(frames, memory.seen), counted)]


def measure(*works: Work, device: torch.device, seconds: float, started: float) -> Speed:
    """The figures of some work; where there are several, each is done for as long: it is one after the other."""
    startup = images = loaded = gflop = 0.0
    for work in works:
        work.call()
        _wait(device)
        startup = startup or time.monotonic() - started
        rate = calls_per_second(work.call, device, seconds / len(works))
        images += rate * work.batch / len(works)
        loaded += rate / calls_per_second(work.loading, device, seconds / 10 / len(works)) / len(works)
    memory = peak_memory(device) or 0  # before networks are made anew, to be counted
    for work in works:
        with FlopCounterMode(display=False) as counter:
            (work.counted or work.call)()
        gflop += counter.get_total_flops() / work.batch / 1e9 / len(works)
    return Speed(works[0].name, images, gflop, loaded, startup, memory / 1e9)


def calls_per_second(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How often `work` can be called a second, the median of chunks: other programs' moments do not count."""
    rates: list[float] = []
    calls, until = 1, time.perf_counter() + seconds
    _wait(device)
    while len(rates) < 2 or time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(calls):
            work()
        _wait(device)
        took = time.perf_counter() - began
        rates.append(calls / took)
        calls = max(1, round(calls * min(10, CHUNK_SECONDS / took)))
    return median(rates[1:])


def peak(device: torch.device) -> dict[str, float]:
    """TFLOP/s that `device` reaches in a large matrix product and in a 3x3 convolution, by precision."""
    side, batch = (8192, 64) if device.type == "cuda" else (2048, 4)
    found = {}
    for dtype in (torch.bfloat16, torch.float32) if has_bfloat16(device) else (torch.float32,):
        matrix = torch.randn(side, side, device=device).to(dtype)
        features = torch.randn(batch, 256, 64, 64, device=device).to(dtype, memory_format=torch.channels_last)
        kernel = torch.randn(256, 256, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
        short = "bf16" if dtype == torch.bfloat16 else "fp32"
        products: dict[str, Callable[[], object]] = {
            "matrix product": partial(torch.matmul, matrix, matrix),
            "convolution": partial(F.conv2d, features, kernel, padding=1),
        }
        for name, product in products.items():
            with torch.inference_mode(), FlopCounterMode(display=False) as counter:
                product()
            with torch.inference_mode():
                found[f"{short} {name}"] = calls_per_second(product, device, 0.3) * counter.get_total_flops() / 1e12
    return found


def noise_photos(size: int, aspect: float) -> list[np.ndarray]:
    """16 photos of noise, uint8 (size, size·aspect, 3): none of the work depends on what is in them."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (size, round(size * aspect), 3), np.uint8) for _ in range(16)]


def _plain(config: TrainConfig, device: torch.device, seconds: float) -> Speed | None:
    """Plain pix2pix's; None, with a line, where it fails: ours is measured all the same."""
    command = [sys.executable, str(PLAIN), "--speed", str(seconds), "--size", str(config.size), "--device", str(device)]
    paths = [str(PLAIN.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        console.print(f"{PLAIN.name} failed: {why}", style="yellow")
        return None
    return Speed(**json.loads(done.stdout))


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' if count > 1 else ''}" if device.type == "cpu" else ""
    return f"{name}{threads}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _precision(device: torch.device) -> str:
    return "bf16" if has_bfloat16(device) else "fp32"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
