"""The command line: help, quick answers, and one line for every expected failure."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import beautynet
from beautynet import backbones, cli, sources
from beautynet.config import TrainConfig
from beautynet.drawing.draughtsman import METHODS
from beautynet.errors import BeautyError, UsageError
from beautynet.film import layout
from beautynet.gathering import quality
from beautynet.sources import licences
from beautynet.sources.fetch import Limits
from beautynet.speed import WORKS
from beautynet.verbs import scrape as scraping
from beautynet.verbs import train as training
from beautynet.verbs.classify_predict import Prediction
from beautynet.verbs.curate import CurateSummary
from beautynet.verbs.export import EXPORTERS
from beautynet.verbs.image import ImageResult
from beautynet.verbs.look import LookSummary
from beautynet.verbs.pairs import PairsSummary
from beautynet.verbs.scrape import ScrapeSummary

REPO = Path(__file__).parents[1]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def commands(group: click.Group = cli.main, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of each command: `train`, `classify train`."""
    for name, command in group.commands.items():
        if isinstance(group, cli.OrElse) and name == group.otherwise:
            yield before  # it needs no name
        elif isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_has_examples_that_parse(words: tuple[str, ...]) -> None:
    command: click.Command = cli.main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    if isinstance(command, cli.OrElse):
        command = command.commands[command.otherwise]
    name = words[-1]
    result = run(*words, "--help")
    assert result.exit_code == 0
    lines = [line.partition("# ")[0] for line in result.output.split("Examples:")[1].splitlines()]
    examples = [line.split()[1 + len(words) :] for line in lines if f"beautynet {' '.join(words)}" in line]
    assert examples
    assert len(examples) == sum("beautynet " in line for line in lines)
    for example in examples:
        command.make_context(name, list(example))  # raises UsageError
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in options), "an option has no help"


def test_help_lists_the_commands_of_the_package() -> None:
    assert {"_".join(words) for words in commands()} == {name for name in beautynet.__all__ if name.islower()} - {
        "videos"
    }  # several films
    result = run("--help")
    assert result.exit_code == 0
    assert all(f"  {name} " in result.output for name in cli.main.commands)


def test_every_setting_is_an_option() -> None:
    options = {option: p for p in cli.main.commands["train"].params for option in p.opts}
    for field in fields(TrainConfig):
        option = options[f"--{field.name.replace('_', '-')}"]
        assert isinstance(option, click.Option)
        assert field.metadata["help"] in (option.help or "")


def test_what_there_is_can_be_completed_and_typed() -> None:
    assert {*beautynet.__all__, "__version__"} <= set(dir(beautynet))
    assert beautynet.__version__.count(".") >= 1
    assert (Path(beautynet.__file__).parent / "py.typed").is_file()
    assert not hasattr(beautynet, "nothing")


def loaded(statement: str) -> set[str]:
    """The modules that are loaded after a statement in a new interpreter."""
    code = f"import sys\ntry:\n  {statement}\nexcept SystemExit: pass\nprint('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


def test_help_and_import_load_nothing_heavy() -> None:
    heavy = {"torch", "cv2", "sklearn", "numpy", "PIL", "av"}
    for statement in ("from beautynet.cli import main; main(['--help'])", "import beautynet; beautynet.TrainConfig"):
        modules = loaded(statement)
        assert "beautynet.config" in modules
        assert not modules & heavy


def test_attributes_are_functions_even_beside_modules_of_their_name() -> None:
    for name in beautynet.__all__:
        assert callable(getattr(beautynet, name))
    importlib.import_module("beautynet.verbs.scrape")
    assert beautynet.scrape is sys.modules["beautynet.verbs.scrape"].scrape
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        beautynet.nonsense  # noqa: B018


def parameter(command: click.Command, name: str) -> Any:
    return next(each for each in command.params if each.name == name)


def test_choices_are_those_that_exist() -> None:
    assert set(cli.LAYOUTS) == set(layout.LAYOUTS)
    assert set(cli.SOURCE_NAMES) == set(sources.SOURCES)
    assert cli.DEFAULTS.replace("then ", "").split(", ") == list(sources.DEFAULT)
    assert set(cli.LICENCE_FILTERS) == set(licences.FILTERS)
    assert set(cli.FAULTS) == set(quality.FILTERS)
    assert list(cli.BACKBONE_NAMES) == list(backbones.BACKBONES)
    ours = cli.main.commands
    assert list(parameter(ours["draw"].commands["picture"], "method").type.choices) == list(METHODS)
    assert list(parameter(ours["bench"], "what").type.choices) == list(WORKS)
    assert parameter(ours["export"], "format_").metavar == "|".join(EXPORTERS)


@pytest.mark.parametrize("words", [["train"], ["pairs"], ["pairs", "f"], ["train", "f"], ["train", "--data", "f"]])
def test_no_dataset_names_the_next_command(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert "`beautynet scrape flowers --max 1000`" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["train", ""], ["train", "--data", ""], ["pairs", ""], ["curate", ""]])
def test_an_empty_name_is_not_the_folder_one_is_in(words: list[str]) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save("a.png")
    result = run(*words)
    assert result.exit_code == 1
    assert "empty name" in result.stderr


def test_an_empty_folder_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tulips").mkdir()
    monkeypatch.chdir("tulips")
    result = run("train", ".")
    assert result.exit_code == 1
    assert "`beautynet scrape tulips --max 1000`" in result.stderr


@pytest.mark.parametrize("words", [["roses"], ["--data", "roses"]])
def test_train_takes_its_dataset_either_way(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def telling(data: str | None, **_: Any) -> None:
        raise BeautyError(f"asked for {data}")

    monkeypatch.setattr(training, "train", telling)
    assert "asked for roses" in run("train", *words).stderr
    assert run("train", "roses", "--data", "tulips").exit_code == 2


@pytest.mark.parametrize("words", [["export"], ["image", "a.png"], ["video", "a.gif"]])
def test_no_checkpoint_names_the_next_command(words: list[str]) -> None:
    from PIL import Image

    picture = Image.effect_noise((64, 64), 50).convert("RGB")
    picture.save("a.png")
    picture.save("a.gif", save_all=True, append_images=[picture.rotate(90)])
    result = run(*words)
    assert result.exit_code == 1
    assert "`beautynet train`" in result.stderr


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Iterator[Any]:
        raise error

    monkeypatch.setattr(training, "train", failing)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BeautyError("no photos: gather some"), "no photos: gather some"),
        (RuntimeError("CUDA out of memory. Tried 2 GiB"), "smaller --batch"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "smaller --batch"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "smaller --batch"),
        (RuntimeError("operator torchvision::nms does not exist"), "torch and torchvision do not match"),
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device"), "disk full"),
        (PermissionError(13, "Permission denied", "x.png"), "x.png: Permission denied"),
        (ModuleNotFoundError("No module named 'av'", name="av"), "av is missing: `pip install"),
        (ImportError("libGL.so.1: cannot open shared object file: No such file"), "libGL.so.1 is missing"),
        (UsageError("-1 steps will not do"), "-1 steps will not do"),
    ],
)
def test_expected_failures_are_one_line(error: Exception, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(error, monkeypatch)
    result = run("train")
    assert result.exit_code == (2 if isinstance(error, UsageError) else 1)
    assert line in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert run("--debug", "train").exception is error


def test_our_own_mistakes_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(mistake := ValueError("a bug"), monkeypatch)
    assert run("train").exception is mistake


@pytest.mark.parametrize("stop", [KeyboardInterrupt("stopped: a.mp4 has 3 frames"), click.Abort()])
def test_ctrl_c_is_130(stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(stop, monkeypatch)
    result = run("train")
    assert result.exit_code == 130
    assert (str(stop) or "stopped") in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--k", "1"],
        ["train", "--minutes", "0"],
        ["draw", "daisy", "--minutes", "0"],
        ["draw", "daisy", "--ensemble", "--model", "artists"],
        ["draw", "survey", "--backbone", "resnet18", "--model", "artists"],
        ["video", "a.mp4", "--start", "2", "--end", "1"],
        ["scrape", "--source", "nowhere", "flowers"],
        ["curate", "--model", "a", "--like", "b"],
        ["export", "--format", "bmp"],
        ["bench", "translate", "--batch", "2"],
    ],
)
def test_wrong_usage_is_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_hours_or_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def noted(**settings: Any) -> Any:
        given.update(settings)
        raise BeautyError("enough")

    monkeypatch.setattr(training, "train", noted)
    paths = ("--preview", "a.jpg", "--preview", "b.jpg", "--practice", "c")
    run("train", "--hours", "2", "--learning-rate", "1e-3", *paths)
    assert given.pop("started") <= time.monotonic()
    assert given == {
        "hours": 2,
        "learning_rate": 1e-3,
        "preview": (Path("a.jpg"), Path("b.jpg")),
        "practice": (Path("c"),),
        "device": "auto",
    }
    monkeypatch.undo()
    assert run("train", "--hours", "2", "--minutes", "3").exit_code == 2
    with pytest.raises(BeautyError, match="--minutes -60"):
        training.train(hours=-1)


def test_scrape_is_told_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def noted(query: str | None, **settings: Any) -> Any:
        given.update(settings, query=query)
        raise BeautyError("enough")

    monkeypatch.setattr(scraping, "scrape", noted)
    words = ("--also", "tulip", "--also", "dahlia", "--from", "list.txt", "--dry-run", "--contact", "ana@example.org")
    run("scrape", "roses", *words)
    assert given == {
        "query": "roses",
        "max": None,
        "source": (),
        "also": ("tulip", "dahlia"),
        "origin": Path("list.txt"),
        "license": "any",
        "min_size": 256,
        "reject": (),
        "judge": None,
        "want": (),
        "out": None,
        "dry_run": True,
        "contact": "ana@example.org",
        "limits": Limits(),
    }
    for flag, allowed in (("--allow-private", "private_addresses"), ("--ignore-opt-out", "ignore_opt_out")):
        run("scrape", "roses", flag)
        assert given["limits"] == replace(Limits(), **{allowed: True})


PLACE = Path("data/roses")
DONE = {
    "scrape": (ScrapeSummary(PLACE, 9, 9, 9, 0, 0, {}, {}, {}, complete=True), {"failed": 1, "kept": 8}),
    "look": (LookSummary(PLACE, 9, 1, 1, 0), {"unknown": ("x.jpg",)}),
    "curate": (CurateSummary(PLACE, 9, 1, 1, 0, None), {"unreadable": 1}),
    "pairs": (PairsSummary(PLACE, PLACE / "sheet.jpg", 9, 0), {"skipped": 1}),
    "image": (ImageResult(Path("a.jpg"), Path("a.beauty.jpg")), {"out": None, "reason": "empty file"}),
}


@pytest.mark.parametrize("verb", DONE)
def test_what_was_left_out_is_3(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, lack = DONE[verb]
    for found, code in ((whole, 0), (replace(whole, **lack), 3)):
        result = [whole, found] if verb == "image" else found
        monkeypatch.setattr(f"beautynet.verbs.{verb}.{verb}", lambda *_, result=result, **__: result)
        assert run(verb, "roses").exit_code == code


def test_words_of_strangers_do_not_command_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = replace(DONE["scrape"][0], reasons={"a\x1b]0;title\x07": 1})  # of a manifest that came with photos
    monkeypatch.setattr("beautynet.verbs.scrape.scrape", lambda *_, **__: gathered)
    seen = Prediction(Path("a.jpg"), {"b\u202ec": 1.0})
    monkeypatch.setattr("beautynet.verbs.classify_predict.classify_predict", lambda *_, **__: [seen])
    assert "a\ufffd]0;title\ufffd (1)" in run("scrape", "roses").stdout
    assert run("classify", "predict", "model", "a.jpg").stdout == "a.jpg: b\ufffdc 100%\n"
    assert json.loads(run("classify", "predict", "model", "a.jpg", "--json").stdout)["labels"] == {"b\u202ec": 1.0}


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1:30", 90), ("1:02:03", 3723), ("0:00.5", 0.5)])
def test_times_in_a_film(text: str, seconds: float) -> None:
    assert cli.time_in_film(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1:-2", "1:2:3:4", "nan", "inf", "", "1:", "soon"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        cli.time_in_film(text)


def test_info_of_a_real_checkpoint(checkpoint: Path) -> None:
    result = run("info", str(checkpoint))
    assert result.exit_code == 0
    assert "photos of flowers" in result.stdout


def test_sigterm_leaves_no_temporary_folders(checkpoint: Path, tmp_path: Path) -> None:
    (place := tmp_path / "temporary").mkdir()
    options = [f"--checkpoint={checkpoint}", "--no-browser", "--device=cpu"]
    command = [sys.executable, "-m", "beautynet.cli", "live", *options]
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(REPO)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        for line in server.stderr:
            if "is open until" in line:
                break
        assert list(place.glob("beautynet-*"))
        server.terminate()
    assert server.returncode == 143
    assert not list(place.glob("beautynet-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="it allows no such names")
def test_names_that_no_encoding_has_are_printed(tmp_path: Path, checkpoint: Path) -> None:
    """Into a file on Windows all is printed in an alphabet of its own; some names here are in none."""
    folder = tmp_path / os.fsdecode("Łódź ".encode() + b"gr\xfcn")
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    command = [sys.executable, "-m", "beautynet", "image", folder, "-c", checkpoint, "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONIOENCODING": "cp1252:strict"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment, check=True)
    assert done.stdout.decode().endswith("Łódź gr\\udcfcn/a.beauty.png\n")
