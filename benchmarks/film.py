"""`beautynet video` beside the plain loop, its memory, and how still it holds.

    python benchmarks/film.py FILM_OR_FOLDER -c CHECKPOINT [--size 256] [--frames 100] [--only speed memory steady]

speed    The whole command, the network's own forward passes on the same frames, and the plain loop that most would
         write: OpenCV's capture, scikit-learn's KMeans on each frame, one forward pass a frame, OpenCV's writer.
memory   The command's peak for ten seconds and for ten minutes of the film, each in a process of its own.
steady   Warping error and sharpness of `--steady`, over those of each frame by itself. With --colors all frames borrow
         those of one picture; else each by itself borrows its own, and is as sharp as these have contrast.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from sklearn.cluster import KMeans

from beautynet import images, memory, metrics
from beautynet.film.frames import Frame, in_batches
from beautynet.film.media import Film
from beautynet.film.rendering import writing
from beautynet.translator import Memory, Translator
from beautynet.verbs.video import video

ROUNDS = 3


def plain(film: Path, out: Path, translator: Translator) -> None:
    """The loop of many a tutorial: one thing after the other, in float32."""
    capture = cv2.VideoCapture(str(film))
    writer: cv2.VideoWriter | None = None
    while True:
        there, frame = capture.read()
        if not there:
            break
        height, width = frame.shape[:2]
        small = images.scaled_to(height, width, translator.size)
        picture = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), small[::-1], interpolation=cv2.INTER_AREA)
        pixels = picture.reshape(-1, 3)
        fit = KMeans(translator.condition.clusters).fit(pixels.astype(np.float32))
        clustered = fit.cluster_centers_[fit.labels_].reshape(picture.shape)
        shown = torch.tensor(clustered).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            dream = translator.generator(images.pad_to_multiple(shown, translator.generator.multiple))
        dreamt = images.to_uint8(dream[:, :, : small[0], : small[1]])[0]
        page = np.concatenate([frame, cv2.cvtColor(cv2.resize(dreamt, (width, height)), cv2.COLOR_RGB2BGR)], axis=1)
        if writer is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(out), codec, capture.get(cv2.CAP_PROP_FPS), (2 * width, height))
        writer.write(page)
    if writer:
        writer.release()


def forward(film: Path, translator: Translator) -> float:
    """Seconds of the network alone, on what it is shown of each frame, in the command's batches."""
    seconds, memory = 0.0, None
    with Film(film) as frames:
        for batch, after_cut in in_batches(frames, translator.batch):
            shown, memory = translator.see(np.stack([frame.picture for frame in batch]), None if after_cut else memory)
            start = time.perf_counter()
            translator.paint(shown).cpu()
            seconds += time.perf_counter() - start
    return seconds


def part(film: Path, out: Path, count: int) -> Path:
    """So many frames of a film, from its beginning again where it is shorter."""

    def endless() -> Iterator[np.ndarray]:
        with Film(film) as frames:
            kept = [frame.picture for frame in islice(frames, min(count, 250))]
        return cycle([*kept, *reversed(kept)])

    with Film(film) as first, writing(out, first.size) as writer:
        for number, picture in enumerate(islice(endless(), count)):
            writer.write(Frame(picture, Fraction(number, 25), Fraction(1, 25)))
    return out


def speed(film: Path, place: Path, translator: Translator, count: int) -> None:
    """Print frames a second of all three; they take turns."""
    source = part(film, place / "film.mp4", count)
    times: dict[str, list[float]] = {"plain": [], "video": [], "network": []}
    for number in range(ROUNDS + 1):  # the first warms up
        for name in times:
            start = time.perf_counter()
            if name == "plain":
                plain(source, place / "plain.mp4", translator)
            elif name == "video":
                video(source, place / "ours.mp4", force=True, translator=translator)
            seconds = forward(source, translator) if name == "network" else time.perf_counter() - start
            times[name] += [seconds] if number else []
    rates = {name: count / median(values) for name, values in times.items()}
    over = median(ours / network for ours, network in zip(times["video"], times["network"], strict=True))
    ratio = median(loop / ours for loop, ours in zip(times["plain"], times["video"], strict=True))
    with Film(source) as opened:
        print(f"{film.name} {opened.size[0]}×{opened.size[1]} at {translator.size} px, {count} frames:")
    print(f"  plain loop {rates['plain']:.1f}, beautynet video {rates['video']:.1f} frames/s: {ratio:.1f} times")
    print(f"  the network alone {rates['network']:.1f} frames/s; the whole command takes {over - 1:+.0%}", flush=True)


def peak(film: Path, place: Path, checkpoint: str, size: int) -> None:
    """Print the peak of the command for a short and a long film."""
    for seconds in (10, 600):
        source = part(film, place / f"{seconds}.mp4", 25 * seconds)
        command = [sys.executable, "-m", "beautynet.cli", "video", str(source), "-c", checkpoint, "--size", str(size)]
        _, status, usage = os.wait4(os.posix_spawn(sys.executable, command, os.environ), 0)
        if status:
            sys.exit("the command failed")
        print(f"{film.name}, {seconds} s: peak {usage.ru_maxrss / 1024:.0f} MB", flush=True)


def steady(film: Path, translator: Translator, count: int) -> tuple[float, float] | None:
    """Print warping error and sharpness as shares of frame by frame; None where nothing flickers."""
    sets: dict[str, list[np.ndarray]] = {"film": [], "alone": [], "seen": [], "steady": []}
    memory: Memory | None = None
    with Film(film) as frames:
        for batch, after_cut in in_batches(islice(frames, count)):
            pictures = np.stack([frame.picture for frame in batch])
            alone = torch.cat([translator.passed(each[None]).painted for each in pictures])
            passed = translator.passed(pictures, None if after_cut else memory)
            memory = passed.memory
            small = images.resize(images.to_tensor(pictures), *alone.shape[-2:])
            for name, each in zip(sets, (small, alone, passed.painted, passed.held), strict=True):
                sets[name] += list(images.to_uint8(each))
    stacks = {name: np.stack(each) for name, each in sets.items()}
    scores = {name: metrics.film_scores(each, stacks["film"]) for name, each in stacks.items()}
    if not scores["alone"].warping_error > 0:  # nor NaN
        return None
    shares = {
        name: (
            scores[name].warping_error / scores["alone"].warping_error,
            scores[name].sharpness / scores["alone"].sharpness,
        )
        for name in ("seen", "steady")
    }
    print(f"{film.name:42}{len(stacks['film']):4}", end="")
    print("".join(f"   {name} {flicker:.2f} {sharp:.2f}" for name, (flicker, sharp) in shares.items()), flush=True)
    return shares["steady"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("-c", "--checkpoint", required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--colors", type=Path, nargs="+", default=())
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=("speed", "memory", "steady"), default=("speed", "steady"))
    given = parser.parse_args()
    memory.share()  # as the command does
    translator = Translator.load(given.checkpoint, size=given.size, colors=given.colors)
    films = sorted(given.films.iterdir()) if given.films.is_dir() else [given.films]
    with tempfile.TemporaryDirectory() as place:
        for film in films if "speed" in given.only else ():
            speed(film, Path(place), translator, given.frames)
        for film in films if "memory" in given.only else ():
            peak(film, Path(place), given.checkpoint, translator.size)
    if "steady" in given.only:
        print(f"flicker (warping error) and sharpness, over frame by frame; --steady {translator.steady}")
        shares = [each for film in films if (each := steady(film, translator, given.frames))]
        flicker, sharp = zip(*shares, strict=True)
        print(f"at most half: {sum(each <= 0.5 for each in flicker)} of {len(shares)}", end="; ")
        print(f"at least 95 % as sharp: {sum(each >= 0.95 for each in sharp)}")


if __name__ == "__main__":
    main()
