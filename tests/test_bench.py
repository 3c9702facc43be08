"""The bench: figures that can be true, arithmetic that agrees with a count by hand, and a plain pix2pix that is one."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpu
import numpy as np
import plain_pix2pix as plain
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from beautynet import speed
from beautynet.conditions import Condition
from beautynet.datasets.dataset import Photos
from beautynet.errors import BeautyError
from beautynet.networks import PRESETS, Generator, depth_for
from beautynet.speed import Bench, Speed, Work, bench, measure
from beautynet.training.trainer import Trainer

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "peak", lambda _: {"fp32 matrix product": 0.5})


@pytest.mark.parametrize("what", speed.WORKS)
def test_figures_are_positive(what: str) -> None:
    batch = 2 if what == "train" else None
    measured = bench(what, size=64, preset="S", batch=batch, device="cpu", seconds=0.05, plain=False)
    (found,) = measured.speeds
    assert min(found.images_per_second, found.gflop, found.startup_seconds, found.peak_gb, found.loader_share) > 0
    assert found.loader_share < 1 or what == "translate"  # there it goes on at the same time
    assert measured.share(found) > 0
    assert found.name in measured.table()
    assert Speed(**json.loads(measured.json())["speeds"][0]) == found


def test_a_batch_that_the_memory_does_not_do_for_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"size": 64, "preset": "S", "device": "cpu", "seconds": 0.05, "plain": False}
    (fits,) = bench("train", batch=2, **settings).speeds
    step = Trainer._step

    def limited(self: Trainer, *args: Any) -> dict[str, Tensor]:
        if self.batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, *args)

    monkeypatch.setattr(Trainer, "_step", limited)
    (halved,) = bench("train", batch=4, **settings).speeds
    assert (halved.name, halved.gflop) == (fits.name, fits.gflop)


def test_the_arithmetic_of_a_dream_is_its_networks() -> None:
    (found,) = bench("translate", size=64, preset="S", device="cpu", seconds=0.05, plain=False).speeds
    generator = Generator(PRESETS["S"], depth_for(64))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(torch.zeros(1, 3, 64, 120))  # 114 px wide, and what makes it a multiple of 8
    assert found.gflop == pytest.approx(counter.get_total_flops() / 1e9)


def test_arithmetic_agrees_with_a_count_by_hand() -> None:
    conv = nn.Conv2d(8, 16, 3, padding=1)
    batch = torch.randn(2, 8, 32, 32)
    work = Work("conv", 2, lambda: conv(batch).sum().backward(), lambda: None)
    found = measure(work, device=CPU, seconds=0.01, started=0.0)
    forward = 2 * 32 * 32 * 16 * 8 * 3 * 3
    assert found.gflop == pytest.approx(2 * forward / 1e9)  # and the weights' gradient; the input needs none


def test_the_ratio_is_to_the_plain_one() -> None:
    ours = Speed("train M, 256 px", 10, 87, 0.01, 5, 2)
    table = Bench("a machine", {"bf16": 1.0}, [ours], Speed("plain pix2pix", 2.5, 87, 0, 5, 2)).table()
    assert "4.00x" in table
    assert "87.0%" in table


@pytest.mark.parametrize(("count", "said"), [(1, ", 1 thread, "), (2, ", 2 threads, ")])
def test_threads_are_counted(count: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert said in speed._machine(CPU)


def test_a_failure_of_the_plain_one_costs_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    script = tmp_path / "benchmarks" / "plain.py"
    script.write_text("raise SystemExit('it broke')")
    monkeypatch.setattr(speed, "PLAIN", script)
    measured = bench("train", size=128, preset="S", batch=1, device="cpu", seconds=0.05)
    assert measured.plain is None
    assert len(measured.speeds) == 1
    assert "plain.py failed: it broke" in capfd.readouterr().err


def test_what_cannot_be_benched() -> None:
    with pytest.raises(BeautyError, match="train, translate"):
        bench("dishwasher")


def test_peak_counts_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(speed, "calls_per_second", lambda *_: 1.0)
    rates = speed.peak(CPU)
    assert rates["fp32 matrix product"] == pytest.approx(2 * 2048**3 / 1e12)
    assert rates["fp32 convolution"] == pytest.approx(2 * 4 * 64 * 64 * 256 * 256 * 9 / 1e12)


def test_plain_networks_are_those_of_the_paper() -> None:
    def millions(network: nn.Module) -> float:
        return round(sum(p.numel() for p in network.parameters()) / 1e6, 2)

    with torch.device("meta"):
        assert millions(plain.UNet(256)) == 54.41
        assert millions(plain.UNet(128)) == 41.83
        critic = plain.PatchGAN()
        assert millions(critic) == 2.77
        assert critic(torch.empty(1, 6, 256, 256)).shape == (1, 1, 30, 30)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its networks at an eighth of their width."""
    unet, critic = plain.UNet, plain.PatchGAN
    monkeypatch.setattr(plain, "UNet", lambda size: unet(size, width=8))
    monkeypatch.setattr(plain, "PatchGAN", lambda: critic(width=8))


def pairs(crops: Tensor, size: int) -> plain.Pairs:
    pictures = [((c + 1) * 127.5).byte().permute(1, 2, 0).numpy() for c in crops]
    return plain.Pairs(Photos(pictures, CPU), Condition(size=size), CPU)


@pytest.mark.usefixtures("narrow")
def test_plain_learns(crops: Tensor) -> None:
    drawn = pairs(crops, 128)
    shown, photo = drawn.draw(plain.Random(0))
    assert shown.shape == photo.shape == (1, 3, 128, 128)
    one = plain.Plain(128, CPU)

    @torch.no_grad()
    def l1() -> float:
        return torch.stack([(one.generator(pair[:1]) - pair[1:]).abs().mean() for pair in batches]).mean().item()

    batches = [torch.cat(drawn.draw(plain.Random(1))) for _ in range(4)]
    before = l1()
    for _ in range(16):
        one.step(drawn)
    assert l1() < before
    one.step(drawn, fraction=0.75)
    assert [adam.param_groups[0]["lr"] for adam in (one.adam_g, one.adam_d)] == [1e-4, 1e-4]


@pytest.mark.usefixtures("narrow")
def test_plain_paints_what_it_saved(
    photos: Path, crops: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "STARTED", time.monotonic())
    made, build = [], plain.Plain
    monkeypatch.setattr(plain, "Plain", lambda *given: made.append(build(*given)) or made[-1])
    plain.train(photos, Condition(size=128), 0.01, tmp_path / "plain", CPU, seed=0)
    painter = plain.load(tmp_path / "plain", "cpu")
    assert painter.header["progress"]["images"] > 0
    learnt, loaded = made[0].generator.state_dict(), painter.generator.state_dict()
    assert learnt.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in learnt.items())
    shown, _ = painter.see(np.asarray(((crops[:1] + 1) * 127.5).byte().permute(0, 2, 3, 1)))
    assert torch.equal(painter.paint(shown), painter.paint(shown))
    wide = torch.cat([shown, shown], dim=3)
    assert painter.paint(wide).shape == wide.shape


def test_gpu_script_says_that_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = subprocess.run([sys.executable, BENCHMARKS / "gpu.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--device cpu --quick" in done.stderr


@pytest.mark.slow
def test_gpu_script_to_its_end_without_one(tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "gpu.py", "--device=cpu", "--quick", f"--json={tmp_path / 'figures.json'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "figures.json").read_text())
    assert [each["name"].split()[0] for each in measured["speeds"]] == ["train", "translate"]
    assert measured["plain"]["images_per_second"] > 0
    for each in measured["speeds"]:
        assert each["name"] in done.stdout


def test_a_failure_on_a_gpu_costs_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = gpu.rows
    monkeypatch.setattr(gpu, "rows", lambda *asked: [{**row, "size": 64, "seconds": 0.05} for row in rows(*asked)])
    monkeypatch.setattr(gpu, "WORKER", f"import sys; print('going on', file=sys.stderr){gpu.WORKER}")
    figures = tmp_path / "figures.json"
    asked = ["--device=cpu", "--quick", f"--data={tmp_path / 'gone'}", f"--json={figures}"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *asked])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 1
    said = capsys.readouterr()
    assert re.search(r"'train'.* failed: .*no dataset at .*gone", said.err)
    assert "Traceback" not in said.err
    assert said.err.count("going on") == 1, "a row that did not fail says what it has to say"
    assert "translate S" in said.out
    train, translate = figures.with_suffix(".log").read_text().split("--- ")[1:]
    assert re.match(r"(?s){'what': 'train'.*going on.*Traceback.*no dataset at", train)
    assert re.match(r"(?s){.*'translate'.*going on", translate)


def test_what_a_row_said_is_kept_where_its_time_was_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = "import sys, time; print('compiling', file=sys.stderr, flush=True); time.sleep(60)"
    monkeypatch.setattr(gpu, "WORKER", slow)
    monkeypatch.setattr(gpu, "rows", lambda *_: [{"what": "train"}])
    asked = ["--device=cpu", "--budget=3", f"--json={tmp_path / 'figures.json'}"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *asked])
    monkeypatch.setattr(gpu, "table", str)
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no time left" in capsys.readouterr().err
    assert "compiling" in (tmp_path / "figures.log").read_text()
