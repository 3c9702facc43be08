"""Training: the same command goes on where it was stopped, whatever stopped it, and keeps its time."""

import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet.config import TrainConfig
from beautynet.datasets.dataset import Dataset
from beautynet.datasets.dedup import digests
from beautynet.errors import BeautyError
from beautynet.film.media import Film
from beautynet.networks import PRESETS, Generator
from beautynet.training import health, losses
from beautynet.training.examiner import Examiner
from beautynet.training.trainer import Progress, Trainer
from beautynet.translator import Translator
from beautynet.verbs import train as training
from beautynet.verbs.train import EXAMINED_PHOTOS, FILM, TrainSummary, train

SIZE = 80
SMALL: dict[str, Any] = {"size": SIZE, "preset": "S", "batch": 2, "device": "cpu"}
REPO = str(Path(__file__).parents[1])
OPTIONS = [f"--{name}={value}" for name, value in SMALL.items()]


@pytest.fixture(autouse=True)
def folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works where its dataset `photos` is; what it trains goes to `checkpoints/` there."""
    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr(training, "LOG_SECONDS", 0)
    return photos.parent


def small(**settings: Any) -> TrainSummary:
    return train("photos", **{**SMALL, "steps": 3, **settings})


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / checkpoints.LOG).read_text().splitlines()]


def interrupt_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def interrupted(self: Trainer, *args: Any) -> dict[str, Tensor]:
        figures = step(self, *args)
        if self.progress.steps == steps:
            signal.raise_signal(signal.SIGINT)
        return figures

    monkeypatch.setattr(Trainer, "step", interrupted)


def test_a_run_leaves_all_it_should(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = []

    class Noted(Examiner):
        def __init__(self, trainer: Trainer, *photos: Tensor) -> None:
            examined.append([len(each) for each in photos])
            super().__init__(trainer, *photos)

    monkeypatch.setattr(training, "Examiner", Noted)
    summary = small()
    assert summary.folder == Path("checkpoints/photos")
    assert (summary.steps, summary.images, summary.finished, summary.stopped_by) == (3, 6, True, None)
    assert checkpoints.find() == summary.model
    generator, header = checkpoints.load_generator(summary.model)
    assert all(weight.isfinite().all() for weight in generator.state_dict().values())
    assert header["progress"]["steps"] == 3
    training_photos, held_out = Dataset.open(folder / "photos").split()
    assert (header["dataset"], header["photos"]) == ("photos", len(training_photos))
    assert examined == [[EXAMINED_PHOTOS, len(held_out)]]
    assert len(held_out) < EXAMINED_PHOTOS
    seen = checkpoints.read_training_set(summary.folder)
    shares = (frozenset(digests(paths).values()) for paths in (training_photos, held_out))
    assert seen == (str((folder / "photos").resolve()), *shares)
    assert str(folder) not in json.dumps(header)
    rows = log(summary.folder)
    assert [row["steps"] for row in rows] == [1, 2, 3]
    figures = {"d", "g", "adversarial", "perceptual", "texture", "scenes", "l1", "real", "fake"}
    looks = {"seen", "unseen", "variety", "by_heart"}
    wanted = {"steps", "images", "seconds", "images_per_second", "photos"} | figures | looks
    assert all(row.keys() == wanted and np.isfinite(list(row.values())).all() for row in rows)
    assert [finding.kind for finding in summary.findings] == ["too few photos"]
    assert summary.peak_memory is None or 1e8 < summary.peak_memory < 1e11
    sheets = sorted((summary.folder / "samples").iterdir())
    with Film(summary.folder / FILM) as film:
        pictures = [frame.picture for frame in film]
    assert len(pictures) == len(sheets)
    for picture, sheet in zip(pictures, sheets, strict=True):
        original = np.asarray(Image.open(sheet)).astype(int)
        assert original.shape[1] == 3 * SIZE + 4 * 4
        assert original.shape[0] == len(held_out) * (SIZE + 4) + 4
        height, width = original.shape[:2]
        assert np.abs(picture[:height, :width] - original).mean() < 12


@pytest.mark.usefixtures("two_threads")
def test_resumed_is_uninterrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small(name="whole", steps=5)
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        first = small(name="parts", steps=5)
    assert (first.steps, first.stopped_by, first.finished) == (2, signal.SIGINT, False)
    second = small(name="parts", steps=5)
    assert (second.steps, second.images) == (whole.steps, whole.images)
    states = [checkpoints.load_state(summary.folder) for summary in (whole, second)]
    timeless = [{**(state or {}), "progress": None, "header": None} for state in states]
    a, b = map(torch.utils._pytree.tree_leaves, timeless)
    assert len(a) == len(b)
    assert all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(a, b, strict=True))
    assert (load_file(whole.model).keys()) == load_file(second.model).keys()
    assert all(torch.equal(tensor, load_file(second.model)[name]) for name, tensor in load_file(whole.model).items())


def test_a_run_of_other_networks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = small(steps=1).model.read_bytes()
    monkeypatch.setitem(PRESETS, "S", 16)
    with pytest.raises(BeautyError, match="--name for a new run"):
        small(steps=2)
    assert small(name="new", steps=1).model.read_bytes() != before


@pytest.mark.parametrize("size", [64, 72, 104, 200])
def test_every_size_that_is_allowed_can_be_trained(size: int) -> None:
    run = small(steps=1, size=size)
    assert checkpoints.read_header(run.model)["condition"]["size"] == size
    assert min(Translator.load(run.model).see(np.zeros((1, 90, 120, 3), np.uint8))[0].shape[2:]) == size


def test_seeds_differ() -> None:
    one, two = (load_file(small(name=f"{seed}", seed=seed, steps=1).model) for seed in (1, 2))
    assert any(not torch.equal(one[name], two[name]) for name in one)


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from beautynet import checkpoint as checkpoints
from beautynet.translator import Translator
from beautynet.verbs import train as training

torch.set_num_threads(1)
run = checkpoints.CHECKPOINTS / "photos"
training.LOG_SECONDS = 0
steps = 0

def logged():
    log = run / checkpoints.LOG
    return len(log.read_text().splitlines()) if log.exists() else 0

for _ in range(5):  # saving after each step, so that most kills come in the midst of it
    goal = logged() + 2  # by then the first step is saved
    child = os.fork()
    if not child:
        training.train("photos", size=80, preset="S", batch=2, device="cpu", steps=10_000, save_every=0)
        os._exit(0)
    while logged() < goal and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    checkpoints.load_generator(run / checkpoints.MODEL)
    state = checkpoints.load_state(run)
    assert state["progress"]["steps"] > steps, (state["progress"], steps)
    assert not state["unreadable"]
    steps = state["progress"]["steps"]
print(steps)
"""


def test_kill_at_any_moment_leaves_what_a_resume_needs() -> None:
    done = subprocess.run([sys.executable, "-c", KILLER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reached = int(done.stdout)
    assert reached >= 5
    assert small(steps=reached + 1).steps == reached + 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_so(number: signal.Signals, status: int) -> None:
    command = [sys.executable, "-m", "beautynet.cli", "train", "photos", "--steps", "100000", *OPTIONS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": REPO}) as run:
        log_file = Path("checkpoints/photos") / checkpoints.LOG
        for _ in range(600):
            if (log_file.exists() and log_file.stat().st_size) or run.poll() is not None:
                break
            time.sleep(0.1)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    assert run.returncode == status, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    state = checkpoints.load_state(Path("checkpoints/photos"))
    assert state is not None
    assert state["progress"]["steps"] >= 1
    assert (Path("checkpoints/photos") / FILM).exists()


def test_the_budget_is_kept() -> None:
    budget = 6.0
    began = time.monotonic()
    summary = small(steps=None, minutes=budget / 60)
    spent = time.monotonic() - began
    assert summary.finished
    assert budget / 2 < spent < budget + 5
    assert abs(summary.seconds - spent) < 1
    state = checkpoints.load_state(summary.folder)
    assert state is not None
    assert state["progress"]["seconds"] > budget / 2, "time is state"
    with pytest.raises(BeautyError, match="finished"):
        small(steps=None, minutes=budget / 60)


def test_a_finished_run_says_so_and_takes_more() -> None:
    small(steps=2)
    with pytest.raises(BeautyError, match=r"finished \(2 steps spent\)"):
        small(steps=2)
    assert small(steps=3).steps == 3


def test_time_goes_on_from_what_was_spent() -> None:
    folder = small(steps=1).folder
    state = checkpoints.load_state(folder)
    assert state is not None
    checkpoints.save_state(folder, {**state, "progress": {**state["progress"], "seconds": 1000.0}})
    summary = small(steps=2)
    state = checkpoints.load_state(folder)
    assert state is not None
    for spent in (summary.seconds, state["progress"]["seconds"], log(folder)[-1]["seconds"]):
        assert 1000 < spent < 1060


@pytest.mark.usefixtures("two_threads")
def test_a_damaged_save_takes_nothing_with_it() -> None:
    summary = small(steps=4, save_every=0)
    whole = load_file(summary.model)
    state = summary.folder / checkpoints.STATE
    state.write_bytes(state.read_bytes()[:500])
    small(steps=4, save_every=0)  # from the save before it
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_file(summary.model).items())
    for left in (state, summary.folder / checkpoints.PREVIOUS_STATE):
        torch.load(left, weights_only=True)


@pytest.mark.parametrize("left", [0, 1000, None])
def test_a_damaged_model_is_written_anew_by_the_same_command(left: int | None) -> None:
    model = small(steps=2).model
    generator, header = checkpoints.load_generator(model)
    model.unlink() if left is None else model.write_bytes(model.read_bytes()[:left])
    with pytest.raises(BeautyError, match=r"finished \(2 steps spent\)"):
        small(steps=2)
    again, same_header = checkpoints.load_generator(model)
    assert same_header == header
    assert all(map(torch.equal, generator.state_dict().values(), again.state_dict().values()))


def test_two_runs_do_not_share_a_folder() -> None:
    folder = small(steps=1).folder
    left = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with checkpoints.alone(folder), pytest.raises(BeautyError, match=r"another run is at work .* --name"):
        small(steps=2)
    assert {path: path.read_bytes() for path in left} == left
    assert small(steps=2).steps == 2


@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_sample_takes_no_save_with_it(damage: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    write = training.Run._write_sample

    def damaged(self: training.Run, watched: Tensor) -> None:
        write(self, watched)
        for sample in (self.folder / checkpoints.SAMPLES).iterdir():
            sample.unlink() if damage is None else sample.write_bytes(damage)

    monkeypatch.setattr(training.Run, "_write_sample", damaged)
    summary = small(steps=2)
    assert summary.finished
    assert checkpoints.read_header(summary.model)["progress"]["steps"] == 2


@pytest.mark.parametrize(
    ("settings", "spent", "device", "worth"),
    [
        ({"minutes": 10}, 0, "cuda", True),
        ({"minutes": 10}, 0, "cpu", False),
        ({"minutes": 10}, 9 * 60, "cuda", False),
        ({"minutes": training.COMPILED_MINUTES}, 0, "cuda", False),
        ({"steps": training.COMPILED_STEPS + 1}, 0, "cuda", True),
        ({"steps": training.COMPILED_STEPS}, 0, "cuda", False),
    ],
)
def test_code_is_made_for_a_gpu_where_time_is_left_to_earn_it_back(
    settings: dict[str, Any], spent: float, device: str, worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "cores", lambda: training.COMPILED_CORES)
    run = SimpleNamespace(device=torch.device(device), config=TrainConfig(**settings), progress=Progress(seconds=spent))
    assert training.Run._worth_compiling(cast("Any", run)) == worth
    monkeypatch.setattr(training, "cores", lambda: 1)  # which take many times as long for it
    assert not training.Run._worth_compiling(cast("Any", run))


@pytest.mark.parametrize(
    ("samples", "since", "cost", "due"),
    [(0, 0, 0, True), (1, 0.9, 0, False), (1, 1.1, 0, True), (1, 9, 0.5, False), (1, 11, 0.5, True)],
)
def test_samples_are_spread_over_the_budget_and_take_little_of_it(
    samples: int, since: float, cost: float, due: bool
) -> None:
    config = TrainConfig(minutes=training.SAMPLES_WANTED / 60)
    run = SimpleNamespace(config=config, progress=Progress(samples=samples))
    assert training.Run._sample_due(cast("Any", run), since, cost) == due


@pytest.mark.usefixtures("folder")
def test_a_time_that_getting_ready_took_makes_no_network_of_nothing() -> None:
    assert small(steps=None, minutes=1e-4).steps == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
def test_a_log_on_a_full_disk_does_not_end_a_run(folder: Path) -> None:
    command = [sys.executable, "-m", "beautynet", "train", "photos", "--steps", "2", "--size", "64", "--device", "cpu"]
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, "--save-every", "0"], cwd=folder, stderr=full, check=False)
    assert done.returncode == 0
    assert checkpoints.read_header(folder / "checkpoints" / "photos" / checkpoints.MODEL)["progress"]["steps"] == 2


def test_what_a_run_has_seen_is_noted_for_good(folder: Path) -> None:
    street = folder / "street"
    street.mkdir()
    Image.effect_noise((90, 90), 80).convert("RGB").save(street / "a.png")
    run = small(steps=2, practice=[street], condition="clusters").folder
    (gone, *_), _ = Dataset.open(folder / "photos").split()
    once = {*digests([gone, street / "a.png"]).values()}
    gone.unlink()
    small(steps=3, scenes=1.0, condition="clusters")
    (folder / "bad").mkdir()
    (folder / "bad" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(BeautyError):
        train(folder / "bad", init=run.name, **SMALL)
    assert checkpoints.read_training_set(Path("checkpoints/bad")) == checkpoints.TrainingSet()
    for each in (run, small(name="another", init=run.name, steps=1, condition="clusters").folder):
        seen = checkpoints.read_training_set(each)
        assert once <= seen.pictures


def test_copies_of_what_is_held_out_are_not_trained_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beautynet.datasets.dataset.HELD_OUT_SHARE", 0.4)
    small(steps=1)
    training_photos, held_out = Dataset.open("photos").split()
    for path in (*training_photos, *held_out):
        ImageOps.mirror(Image.open(path)).save(path.with_name(f"mirror-{path.name}"), quality=95)
    grown = Dataset.open("photos")
    assert not {*held_out} <= {*grown.split()[1]}, "names alone would have them trained on"
    seen = checkpoints.read_training_set(small(steps=2).folder)
    kept = [*held_out, *(path.with_name(f"mirror-{path.name}") for path in held_out)]
    assert seen.held_out == {*digests(kept).values()}
    assert seen.pictures == {*digests(grown.photos).values()} - seen.held_out
    assert {*grown.split(seen.pictures, seen.held_out)[1]} == {*kept}
    other = small(name="tuned", init=folder / "checkpoints" / "photos", steps=1)
    assert checkpoints.read_training_set(other.folder) == seen


def test_a_run_of_other_networks_is_not_gone_on_with() -> None:
    folder = small(steps=2).folder
    state = checkpoints.load_state(folder)
    assert state is not None
    checkpoints.save_state(folder, {**state, "generator": {}})
    with pytest.raises(BeautyError, match="begun by a beautynet with other networks"):
        small(steps=3)
    checkpoints.save_state(folder, state)
    assert small(steps=3).steps == 3


def test_what_began_with_eight_groups_in_its_norm_goes_on_with_them() -> None:
    folder = small(steps=2).folder
    state = checkpoints.load_state(folder)
    assert state is not None
    assert state.pop("groups") == 1
    checkpoints.save_state(folder, state)
    for run in (small(steps=3), small(steps=4), small(name="tuned", init=folder, steps=1)):
        assert checkpoints.load_generator(run.model)[0].groups == 8


def test_what_began_with_a_discriminator_that_mixes_no_scales_goes_on_with_it() -> None:
    folder = small(steps=2).folder
    state = checkpoints.load_state(folder)
    assert state is not None
    unmixed = {name: value for name, value in state["discriminator"].items() if not name.startswith("mixing.")}
    assert len(unmixed) < len(state["discriminator"])
    checkpoints.save_state(folder, {**state, "discriminator": unmixed})
    small(steps=3)
    state = checkpoints.load_state(folder)
    assert state is not None
    assert state["discriminator"].keys() == unmixed.keys()


def test_changed_settings_are_named() -> None:
    small(steps=2, l1=7.0)
    with pytest.raises(BeautyError, match=r"\(batch: 2 then, 3 now; l1: 7.0 then, 5.0 now\).*--name"):
        small(batch=3, l1=5.0)
    with pytest.raises(BeautyError, match="no dataset"):
        train("nowhere", **SMALL)


def test_a_damaged_state_falls_back(capfd: pytest.CaptureFixture[str]) -> None:
    run = small(steps=2).folder
    small(steps=3)
    state = run / checkpoints.STATE
    state.write_bytes(state.read_bytes()[:1000])
    assert small(steps=4).steps == 4
    assert "damaged" in capfd.readouterr().err.replace("\n", " ")


def test_init_starts_from_another(checkpoint: Path) -> None:
    given = load_file(checkpoint)
    started = load_file(small(name="tuned", steps=1, init=checkpoint, learning_rate=1e-9, seed=1).model)
    assert all(torch.allclose(given[name], tensor, atol=1e-6) for name, tensor in started.items())
    with pytest.raises(BeautyError, match="--preset"):
        small(name="misfit", preset="M", init=checkpoint)


@pytest.mark.parametrize("damage", [None, b"", "other"])
def test_init_starts_with_the_discriminator_of_a_run(damage: bytes | str | None) -> None:
    """Where it cannot be had, or is of another kind, it learns anew."""
    run = small(name="first", steps=2).folder
    state = checkpoints.load_state(run)
    assert state
    for path in (run / checkpoints.STATE, run / checkpoints.PREVIOUS_STATE):
        if damage == "other":  # as it was before it had eyes
            torch.save({**state, "discriminator": {"0.weight": torch.zeros(64, 6, 4, 4)}}, path)
        elif damage is not None:
            path.write_bytes(b"")
    small(name="tuned", steps=1, init=run, learning_rate=1e-9)
    tuned = checkpoints.load_state(checkpoints.CHECKPOINTS / "tuned")
    assert tuned
    weights = {name: given for name, given in state["discriminator"].items() if name.endswith("original")}
    same = [torch.allclose(given, tuned["discriminator"][name], atol=1e-6) for name, given in weights.items()]
    assert all(same) if damage is None else not all(same)


def short_of_memory(error: Exception, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def limited(self: Trainer, *args: Any) -> dict[str, Tensor]:
        if self.batch > largest:
            raise error
        return step(self, *args)

    monkeypatch.setattr(Trainer, "_step", limited)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ],
)
def test_out_of_memory_halves_the_batch_for_good(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        short_of_memory(error, 2, patch)
        first = small(batch=5, steps=3)
    assert (first.steps, first.images) == (3, 6)
    assert capfd.readouterr().err.count("out of memory: going on with batches of 2") == 1
    assert small(batch=5, steps=5).images == 10, "a resumed run remembers"
    assert "out of memory" not in capfd.readouterr().err
    short_of_memory(error, 0, monkeypatch)
    with pytest.raises(BeautyError, match=r"batch 1.*--size or --preset"):
        small(batch=5, steps=6)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(RuntimeError("shapes do not match"), 0, monkeypatch)
    with pytest.raises(RuntimeError, match="shapes"):
        small()


def full_disk_for(saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first saves of a state fail, in the midst of writing."""
    save, calls = torch.save, itertools.count()

    def limited(state: dict[str, Any], file: Any) -> None:
        if next(calls) < saves:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", limited)


def test_a_full_disk_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    full_disk_for(2, monkeypatch)
    run = small(steps=4, save_every=0).folder
    assert " ".join(capfd.readouterr().err.split()).count("disk full while writing") == 1
    state = checkpoints.load_state(run)
    assert state is not None
    assert state["progress"]["steps"] == 4


@pytest.mark.parametrize(("saves", "first"), [(0, "log.jsonl"), (2, "state.pt")])
def test_a_full_disk_is_told_in_one_line(
    saves: int, first: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, mode: str, **how: Any) -> Any:
        if mode == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        return open(path, mode, **how)

    monkeypatch.setattr(training, "open", full, raising=False)
    full_disk_for(saves, monkeypatch)
    assert small(steps=4, save_every=0).finished
    said = " ".join(capfd.readouterr().err.split())
    advice = "make room; training goes on meanwhile and tries again"
    assert re.findall(r"disk full while writing (\S+): (.*?again)", said) == [(f"checkpoints/photos/{first}", advice)]
    assert "Errno" not in said
    assert "run the same command" not in said


def test_a_film_on_a_full_disk_ends_with_the_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise BeautyError("disk full while writing x: run it again") from OSError(errno.ENOSPC, "")

    monkeypatch.setattr("beautynet.film.rendering.writing", full)
    interrupt_after(1, monkeypatch)
    assert not small().finished
    said = " ".join(capfd.readouterr().err.split())
    assert "disk full while writing x: run it again" in said
    assert "goes on" not in said


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_no_memory_for_a_look_does_not_end_a_run(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    look, looks = Examiner._examine, itertools.count()

    def short(self: Examiner) -> dict[str, float]:
        if number := next(looks):
            raise error(f"CUDA out of memory. Tried to allocate {number} GiB.")
        return look(self)

    monkeypatch.setattr(Examiner, "_examine", short)
    monkeypatch.setattr("beautynet.training.examiner.EXAMINE_SECONDS", 0)
    monkeypatch.setattr("beautynet.training.examiner.EXAMINE_SHARE", 1e9)
    run = small(steps=4)
    assert run.finished
    assert next(looks) == 4
    rows = log(run.folder)
    assert all(row["seen"] == rows[0]["seen"] for row in rows)
    assert " ".join(capfd.readouterr().err.split()).count("out of memory") == 1


def test_a_full_disk_at_the_end_keeps_the_save_before(monkeypatch: pytest.MonkeyPatch) -> None:
    run = small(steps=2).folder
    full_disk_for(9, monkeypatch)
    with pytest.raises(BeautyError, match="disk full"):
        small(steps=4)
    state = checkpoints.load_state(run)
    assert state is not None
    assert (state["progress"]["steps"], state["unreadable"]) == (2, [])


def test_what_was_not_saved_is_not_in_log_or_samples_twice() -> None:
    run = small(steps=2).folder
    rows = log(run)
    with open(run / checkpoints.LOG, "a") as file:  # as a kill leaves it
        file.write(json.dumps(rows[-1] | {"steps": 3}) + "\n" + '{"steps": 4, "ima')
    (run / "samples" / "0007.png").write_bytes(b"")
    small(steps=3)
    assert [row["steps"] for row in log(run)] == [1, 2, 3]
    state = checkpoints.load_state(run)
    assert state is not None
    samples = sorted(path.name for path in (run / "samples").iterdir())
    assert samples == [f"{number:04}.png" for number in range(state["progress"]["samples"])]


def test_photos_come_and_go(capfd: pytest.CaptureFixture[str]) -> None:
    small(steps=1)
    training_photos, held_out = Dataset.open("photos").split()
    for path in held_out:
        path.write_bytes(b"no photo")
    training_photos[0].unlink()
    training_photos[1].write_bytes(training_photos[1].read_bytes()[:500])
    assert small(steps=2).steps == 2
    said = " ".join(capfd.readouterr().err.split())
    assert f"skipped photos/{training_photos[1].name}" in said
    assert f"{len(training_photos) - 2} photos now, {len(training_photos)} before" in said


def test_a_network_that_ignores_its_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    paint = Generator.forward

    def blind(self: Generator, condition: torch.Tensor, *places: torch.Tensor | None) -> torch.Tensor:
        return paint(self, torch.zeros_like(condition), *places)

    monkeypatch.setattr(Generator, "forward", blind)
    monkeypatch.setattr(health, "WARM_UP", 0)
    monkeypatch.setattr(health, "ENOUGH", 3)
    assert small().findings[0].kind == "input ignored"


@pytest.mark.parametrize("log_seconds", [0, 1000])
def test_nan_stops_the_run_and_keeps_the_last_good_save(log_seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small(steps=2).folder
    monkeypatch.setattr(training, "LOG_SECONDS", log_seconds)
    monkeypatch.setattr(losses, "generator_hinge", lambda scores: scores[0].mean() * float("nan"))
    with pytest.raises(BeautyError, match=r"NaN at step \d+.*--learning-rate"):
        small(steps=4, save_every=0)
    generator, header = checkpoints.load_generator(run / checkpoints.MODEL)
    assert header["progress"]["steps"] == 2
    assert all(weight.isfinite().all() for weight in generator.state_dict().values())
    state = checkpoints.load_state(run)
    assert state is not None
    assert state["progress"]["steps"] == 2
    assert [finding.kind for finding in health.findings(log(run))] == ["broken"]


def test_it_learns_one_picture_by_heart(photos: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (photos / "09.jpg").rename(alone / "09.jpg")
    run = train(alone, **{**SMALL, "steps": 60, "learning_rate": 2e-3}).folder
    l1 = [row["l1"] for row in log(run)]
    assert np.mean(l1[-10:]) < 0.6 * np.mean(l1[:5])


def test_practice_is_on_what_is_named(photos: Path) -> None:
    settings = {**SMALL, "steps": 2, "palette": "ranked"}
    run = train(photos, name="streets", practice=photos / "03.jpg", **settings).folder
    assert [bool(row["scenes"]) for row in log(run)][-1]
    with pytest.raises(BeautyError, match="--batch 2"):
        train(photos, name="b", practice=photos / "03.jpg", **settings | {"batch": 1})
    with pytest.raises(BeautyError, match="--practice has no weight with --scenes 0"):
        train(photos, name="b", practice=photos / "03.jpg", **settings, scenes=0.0)
    with pytest.raises(BeautyError, match="gone is not there"):
        train(photos, name="b", practice="gone", **settings)
    Path("empty").mkdir()
    with pytest.raises(BeautyError, match="no pictures in empty"):
        train(photos, name="b", practice="empty", **settings)
    assert not Path("checkpoints/b").exists()


def test_previews_are_watched(photos: Path) -> None:
    plain, watched = (small(name=name, steps=1, preview=p) for name, p in (("a", []), ("b", [photos / "00.jpg"])))
    heights = [Image.open(run.folder / "samples" / "0000.png").height for run in (plain, watched)]
    assert heights[1] - heights[0] == SIZE + 4
    with pytest.raises(BeautyError, match=r"cannot read gone\.jpg \(no such file\)"):
        small(name="c", preview="gone.jpg")
