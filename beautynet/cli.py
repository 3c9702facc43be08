"""The command line: validate, import what is needed, call one function, turn known errors into one line.

Exit codes: 0 done; 1 failed, with one line that says why; 2 wrong usage; 3 done, but something was skipped or missing;
130 or 143 stopped by Ctrl-C or SIGTERM, with all that was done kept.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from io import TextIOWrapper
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from beautynet.config import CONDITION_NAMES, PALETTE_NAMES, PRESET_NAMES, STEADY, TrainConfig
from beautynet.errors import OUT_OF_MEMORY, BeautyError, UsageError

STARTED = time.monotonic()
MISUSED, PARTLY = 2, 3
LAYOUTS = ("side", "stack", "only", "wipe")
# What the rooms below say too (a test holds these to it); importing those takes longer than --help may.
SOURCE_NAMES = ("bing", "commons", "flickr", "flowers102", "inaturalist", "openverse", "folder", "urls")
DEFAULTS = "openverse, commons, inaturalist, then bing"
LICENCE_FILTERS = ("any", "free", "commercial", "public-domain")
FAULTS = ("blurred", "drawing", "collage", "watermark")
BACKBONE_NAMES = ("efficientnet-lite0", "efficientnet-lite1", "resnet18", "vgg16", "inception_v3", "dinov2")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
PATH = click.Path(path_type=Path)


class Commands(click.Group):
    """Turns expected errors into one line, and keeps examples as they are written."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        from beautynet import memory

        memory.share()
        if isinstance(sys.stdout, TextIOWrapper):  # names in any script, also into a file on Windows; never a failure
            sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="backslashreplace")
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # which would leave temporary folders behind
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort) as stop:  # the latter at a question
            click.echo(str(stop) or "stopped; what was done is kept", err=True)
            sys.exit(130)
        except Exception as error:
            if ctx.params.get("debug") or isinstance(error, click.ClickException | click.exceptions.Exit):
                raise
            line = _one_line(error)
            if line is None:
                raise
            from beautynet.console import printable

            click.secho(f"error: {printable(line)}", fg="red", err=True)
            sys.exit(MISUSED if isinstance(error, UsageError) else 1)


def _one_line(error: Exception) -> str | None:
    """What to tell the user of `error`; None for those that are our own mistakes."""
    if isinstance(error, BeautyError):
        return str(error)
    if isinstance(error, RuntimeError) and "torchvision::" in str(error):
        return "torch and torchvision do not match: `pip install --upgrade torch torchvision` installs a pair"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is missing: `pip install .` in the folder of beautynet installs what every command needs"
    if isinstance(error, ImportError) and (library := re.match(r"(lib\S+): cannot open shared object", str(error))):
        return f"{library[1]} is missing, which OpenCV needs: `apt-get install libgl1 libglib2.0-0` on Debian, Ubuntu"
    if isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)):
        return "out of memory: try a smaller --size; in training also a smaller --batch or --preset"
    if isinstance(error, MemoryError):
        return "out of memory: try a smaller --size"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk full: free some space and run the same command again"
    return None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="beautynet")
def main(debug: bool) -> None:  # debug is read by Commands.invoke
    """A network that has only ever seen beautiful things can see nothing else.

    \b
    From photos to film:
      beautynet scrape flowers --max 1000
      beautynet train --hours 2
      beautynet video input.mp4

    \b
    Or see it all at once, with no photos and nothing trained before, in some four minutes:
      beautynet demo
    """


def say(text: str, **style: Any) -> None:
    """Print what may hold words of strangers: labels, rows of manifests, headers of networks, names of files."""
    from beautynet.console import printable

    click.secho(printable(text), **style)


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator."""

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def time_in_film(text: str) -> float:
    """Seconds, m:ss or h:mm:ss, in seconds."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < 1e6 for part in parts):
        raise click.BadParameter(f"{text!r} is no time: give seconds, m:ss or h:mm:ss")
    return sum(part * 60.0**power for power, part in enumerate(reversed(parts)))


def side_or_frame(text: str) -> int | tuple[int, int]:
    """`384`: a side in px; `640x360`: the width and height of a frame."""
    try:
        numbers = [int(number) for number in text.split("x")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and 32 <= numbers[0] <= 4096:
        return numbers[0]
    if len(numbers) == 2 and all(1 <= number <= 16384 for number in numbers):
        return numbers[0], numbers[1]
    raise click.BadParameter(f"{text!r} is neither a side of 32 to 4096 px nor a frame such as 640x360")


device = click.option("--device", default="auto", metavar="auto|cuda|mps|cpu", help="Where to run.")
abstraction = click.option(
    "--abstraction", type=click.FloatRange(0, 1), help="0..1, how little of the picture is kept; default: as trained."
)
condition = click.option("--condition", type=click.Choice(CONDITION_NAMES), default="clusters", help="What is shown.")
want = click.option(
    "--want", multiple=True, metavar="LABEL", help="Its labels that are wanted.  [default: all but `other`]"
)
labels = click.option("--labels", type=PATH, help="A CSV (`path,label`) with the labels of DATA's files.")
no_browser = click.option("--no-browser", is_flag=True, help="Print the address only.")
serving = options(
    click.option(
        "--host", default="127.0.0.1", help="Who can reach it: 0.0.0.0 is everybody in this network who has the token."
    ),
    click.option("--token", help="What others are asked for, 8 characters or more.  [default: made up]"),
)


def looking_through(help: str) -> Decorator:
    """The option that names a backbone."""
    return click.option("--backbone", type=click.Choice(BACKBONE_NAMES), default=BACKBONE_NAMES[0], help=help)


checkpoint = click.option("-c", "--checkpoint", help="A run's folder, its name or a model file.  [default: the newest]")
colors = click.option(
    "--colors",
    multiple=True,
    type=PATH,
    help="A picture to borrow the colours of, instead of the training photos'; repeats.",
)
dreaming = options(
    click.option("-o", "--out", type=PATH, help="Where to write."), checkpoint, abstraction, colors, device
)


def layout(default: str, besides: str = "") -> Decorator:
    """The --layout option; None is not given, which means `default`."""
    help = "The original beside the dream, above it, the dream only, or a line between the two."
    return click.option("--layout", type=click.Choice(LAYOUTS), help=f"{help}  [default: {default}{besides}]")


def settings_of(config: type) -> Decorator:
    """An option for each field of `config`; those not given are left out, so that its defaults hold."""
    hints = get_type_hints(config)

    def option(field: Any) -> Decorator:
        choices = field.metadata["choices"]
        kind = next(t for t in (*get_args(hints[field.name]), hints[field.name]) if t is not type(None))
        help = field.metadata["help"] + ("" if field.default is None else f"  [default: {field.default}]")
        name = "--" + field.name.replace("_", "-")
        return click.option(name, type=click.Choice(choices) if choices else kind, default=None, help=help)

    return options(*(option(field) for field in fields(config)))


@main.command()
@click.argument("query", required=False)
@click.option("--max", type=click.IntRange(1), help="Photos wanted.  [default: 1000; with --from, all]")
@click.option(
    "--source",
    multiple=True,
    metavar="NAME",
    help=f"Where from; repeats: {', '.join(SOURCE_NAMES)}.  [default: {DEFAULTS}]",
)
@click.option("--also", multiple=True, metavar="WORDS", help="Further words, asked when QUERY has run dry; repeats.")
@click.option("--from", "origin", type=PATH, help="A folder of pictures, or a .txt of URLs.")
@click.option("--license", type=click.Choice(LICENCE_FILTERS), default="any", help="Which photos may be taken.")
@click.option("--min-size", type=click.IntRange(1), default=256, help="Shorter side in px.")
@click.option("--reject", multiple=True, type=click.Choice(FAULTS), help="Also leave such pictures out; repeats.")
@click.option("--judge", metavar="MODEL", help="A classifier; what it says is something else is left out.")
@want
@click.option("-o", "--out", type=PATH, help="The dataset's folder.  [default: data/QUERY]")
@click.option("--dry-run", is_flag=True, help="Store nothing; write a page with what would be kept.")
@click.option("--contact", envvar="BEAUTYNET_CONTACT", help="Your e-mail or page, for hosts that ask who visits them.")
@click.option("--allow-private", is_flag=True, help="Fetch from this machine and its own network, too.")
@click.option("--ignore-opt-out", is_flag=True, help="Take photos whose host says that they are not for training.")
def scrape(query: str | None, allow_private: bool, ignore_opt_out: bool, **given: Any) -> None:
    """Gather photos of QUERY into data/QUERY/, with a manifest of where each came from.

    Run it again to go on: nothing is fetched or saved twice.

    \b
    Examples:
      beautynet scrape flowers --max 1000
      beautynet scrape flowers --also tulip --also dahlia --license free
      beautynet scrape flowers --judge flowers-judge --want like
      beautynet scrape mushrooms --source inaturalist --reject blurred --dry-run
      beautynet scrape --from Pictures/garden
      beautynet scrape roses --from urls.txt --min-size 400
    """
    from beautynet.sources.fetch import Limits
    from beautynet.verbs.scrape import scrape as run

    limits = Limits(private_addresses=allow_private, ignore_opt_out=ignore_opt_out)
    summary = run(query, limits=limits, **given)
    say(summary.sentence())
    if summary.page:
        click.echo(f"nothing was stored; look at {summary.page}")
    sys.exit(0 if summary.delivered else PARTLY)


@main.command()
@click.argument("dataset", required=False)
@click.option("-o", "--out", type=PATH, help="Write the sheet as one HTML file instead.")
@click.option("--reject", type=PATH, help="Take out the photos named in this file, one a line.")
@click.option("--restore", type=PATH, help="Put back the photos named in this file.")
@no_browser
def look(dataset: str | None, no_browser: bool, **given: Any) -> None:
    """Look at DATASET (the newest in data/) in the browser, and click out what should not be in it.

    What is out moves to .rejected in the dataset, is never gathered again, and comes back by a second click.

    \b
    Examples:
      beautynet look
      beautynet look flowers --no-browser
      beautynet look flowers -o sheet.html
      beautynet look flowers --reject flowers.out.txt
    """
    from beautynet.verbs.look import look as run

    def judge(folder: Path) -> None:
        from beautynet.verbs.curate import curate  # when it is clicked: looking alone needs no torch

        curate(folder)

    summary = run(dataset, browser=not no_browser, judge=judge, **given)
    click.echo(summary.sentence())
    if summary.unknown:
        say(f"not in the dataset: {', '.join(summary.unknown)}", err=True)
    sys.exit(PARTLY if summary.unknown else 0)


@main.command()
@click.argument("dataset", required=False)
@click.option("--model", help="A classifier that tells what is wanted.  [default: one is trained]")
@want
@click.option("--like", type=PATH, help="A folder of what is wanted.  [default: the dataset]")
@click.option("--unlike", type=PATH, help="A folder of what is not, besides what was clicked out.")
@device
def curate(dataset: str | None, **given: Any) -> None:
    """Judge the photos of DATASET (the newest in data/): training skips junk, `look` shows what is doubtful first.

    Click some out with `look`, run this, look again: in seconds it knows what you mean. Nothing is moved.

    \b
    Examples:
      beautynet curate flowers
      beautynet curate flowers --unlike streets/
      beautynet curate walls --model artists --want invader
    """
    from beautynet.verbs.curate import curate as run

    summary = run(dataset, **given)
    click.echo(summary.sentence())
    sys.exit(PARTLY if summary.unreadable else 0)


@main.command()
@click.argument("dataset", required=False)
@condition
@click.option("--abstraction", type=click.FloatRange(0, 1), default=0.6, help="How little is kept.")
@click.option(
    "-k", "--k", type=click.IntRange(2, 32), help="Clusters; by default 7, more or fewer with the abstraction."
)
@click.option("--palette", type=click.Choice(PALETTE_NAMES), default=TrainConfig.palette, help="Cluster colours.")
@click.option("--size", type=click.IntRange(32, 4096), default=256, help="Side in px.")
@click.option("--max", "max_", type=click.IntRange(1), help="Only so many.  [default: all]")
@click.option("-o", "--out", type=PATH, help="Folder.  [default: DATASET.pairs/CONDITION beside it]")
@device
def pairs(dataset: str | None, max_: int | None, **settings: Any) -> None:
    """Write (condition, photo) pairs of DATASET side by side, for looking at and for other pix2pix trainers.

    \b
    Examples:
      beautynet pairs
      beautynet pairs flowers --condition edges --max 100
      beautynet pairs flowers --abstraction 0.8 -o /tmp/pairs
    """
    from beautynet.verbs.pairs import pairs as run

    summary = run(dataset, max=max_, **settings)
    click.echo(f"{summary.written} pairs in {summary.folder}; look at {summary.sheet}")
    sys.exit(PARTLY if summary.skipped else 0)


@main.command()
@click.argument("dataset", required=False)
@click.option("--data", help="The same as DATASET.")  # all there was until 2026-11-27: scripts have it
@click.option("--name", help="The run: checkpoints/NAME.  [default: the dataset's name]")
@click.option("--hours", type=float, help="The budget in hours instead of minutes.")
@device
@click.option("--init", help="Start from this run, of any subject, instead of from nothing (fine-tuning).")
@click.option("--preview", multiple=True, type=PATH, help="A picture of yours to see in the samples; repeats.")
@click.option(
    "--practice",
    multiple=True,
    type=PATH,
    help="An everyday picture, or a folder of them, to practise on beside made-up scenes; repeats.",
)
@settings_of(TrainConfig)
def train(dataset: str | None, data: str | None, **given: Any) -> None:
    """Train the network on DATASET (the newest in data/; a name there, or a folder of photos), into checkpoints/NAME/.

    It takes the time that it is given. The same command again resumes. Ctrl-C saves and stops.

    \b
    Examples:
      beautynet train --hours 2
      beautynet train flowers --minutes 30 --size 128 --preview dump.jpg
      beautynet train flowers --practice street/
      beautynet train Pictures/roses --init flowers --minutes 20
    """
    if dataset is not None and data is not None:
        raise click.UsageError("give DATASET or --data, not both")
    given["data"] = data if dataset is None else dataset
    from beautynet.verbs.train import train as run

    summary = run(started=STARTED, **{name: value for name, value in given.items() if value is not None})
    click.echo(
        f"{summary.model}: {summary.images:,} images in {summary.seconds / 60:.1f} minutes "
        f"({summary.images_per_second:.1f} images/s), peak memory {(summary.peak_memory or 0) / 1e9:.1f} GB"
    )
    if summary.stopped_by is not None:
        click.echo("stopped early and saved: the same command goes on", err=True)
        sys.exit(128 + summary.stopped_by)


@main.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@layout("only")
@click.option("--size", type=click.IntRange(32, 4096), help="Shorter side in px for the network; default: as trained.")
@dreaming
def image(paths: tuple[Path, ...], layout: str | None, **given: Any) -> None:
    """Show the network pictures, or folders of them: photo.jpg becomes photo.beauty.jpg.

    \b
    Examples:
      beautynet image dump.jpg
      beautynet image holiday/ -o dreams/ --layout side
      beautynet image street.jpg --abstraction 0.9 --size 512
      beautynet image street.jpg --colors rose.jpg
    """
    from beautynet.verbs.image import image as run

    results = run(paths, layout=layout or "only", **given)
    for result in results:
        if result.out:
            click.echo(result.out)
        else:
            say(f"skipped {result.source}: {result.reason}", err=True)
    sys.exit(PARTLY if any(result.out is None for result in results) else 0)


@main.command()
@click.argument(
    "films",
    nargs=-1,
    required=True,
    metavar="FILMS...",
    type=click.Path(path_type=Path, readable=False),  # one that is not is named, and the others go on
)
@layout("side", "; of raw frames only")
@click.option(
    "--steady",
    type=click.FloatRange(0, 1),
    default=STEADY,
    help="How much a frame leans on the one before it; 0 flickers.",
)
@click.option(
    "--start",
    type=time_in_film,
    default="0",
    show_default=False,
    metavar="TIME",
    help="Begin here: seconds, m:ss or h:mm:ss.",
)
@click.option("--end", type=time_in_film, metavar="TIME", help="And end here.")
@click.option("--fps", type=float, help="Frames a second.  [default: the film's own; of numbered pictures 25]")
@click.option("--loop", type=float, metavar="MB", help="Write a GIF (or WebP, by -o) that repeats, so large at most.")
@click.option("--poster", is_flag=True, help="And a JPEG of its most colourful moment, beside it.")
@click.option("--force", is_flag=True, help="Replace a film that is there without asking.")
@click.option(
    "--size",
    type=side_or_frame,
    metavar="PX|WxH",
    help="Shorter side in px for the network, 32 to 4096; default: as trained.",
)
@dreaming
def video(
    films: tuple[Path, ...], size: int | tuple[int, int] | None, layout: str | None, force: bool, **given: Any
) -> None:
    """Show the network films, or folders of them: input.mp4 becomes input.beauty.mp4, the original beside the dream.

    The same command again goes on with a film that was not completed.

    Writes .mp4, .mov, .mkv, .webm, .gif or .webp, by the name given with -o. With - for both, raw RGB frames come in
    on standard input and go out on standard output, for OBS, TouchDesigner or ffmpeg.

    \b
    Examples:
      beautynet video input.mp4
      beautynet video walk.mov --layout only -o dream.webm
      beautynet video walk.mov --start 1:30 --end 1:36 --layout wipe --loop 8
      beautynet video clip.mp4 -c flowers --size 384
      beautynet video holiday/ -o dreams/
      beautynet video render/%04d.png --fps 24 --layout only -o dreams/%04d.png
      beautynet video - --size 640x360 -o -
    """
    if [*map(str, films)] == ["-"]:
        return raw(size, layout=layout or "only", **given)
    if isinstance(size, tuple):
        raise click.UsageError("--size 640x360 is for raw frames on standard input (`-`): else give the shorter side")
    if str(given["out"]) == "-":
        raise click.UsageError("raw frames only come out where they go in: beautynet video - --size 640x360 -o -")
    from beautynet.verbs.video import Skipped, videos
    from beautynet.verbs.video import video as run

    def ask(what: str) -> bool:
        return force or (sys.stdin.isatty() and click.confirm(f"{what}. Replace it?", err=True))

    given |= {"size": size, "layout": layout or "side"}
    alone = len(films) == 1 and not films[0].is_dir()
    made, perfect = False, True
    for each in [run(films[0], force=ask, **given)] if alone else videos(films, force=force, **given):
        if isinstance(each, Skipped):
            say(f"skipped: {each.reason}", err=True)
            perfect = False
            continue
        for warning in each.warnings:
            say(f"warning: {warning}", fg="yellow", err=True)
        say(f"{each.out}: {each.frames} frames, {each.rate:.1f} frames/s")
        made, perfect = True, perfect and not each.warnings
    sys.exit(0 if perfect else PARTLY if made else 1)


def raw(size: int | tuple[int, int] | None, out: Path | None, layout: str, **given: Any) -> None:
    """`video` on standard input and output."""
    if not isinstance(size, tuple):
        raise click.UsageError("say how large the raw RGB frames on standard input are: --size 640x360")
    if str(out or "-") != "-":
        raise click.UsageError("raw frames go to standard output: -o -")
    of_films = [given.pop(name) for name in ("start", "end", "fps", "loop", "poster")]
    if any(value not in (None, 0, False) for value in of_films):
        raise click.UsageError("--start, --end, --fps, --loop and --poster are for films, not for raw frames")
    if sys.stdout.isatty():
        raise click.UsageError(
            "raw frames are nothing for a terminal: `-o -` needs a pipe or a file, "
            "as in beautynet video - --size 640x360 -o - > dream.rgb"
        )
    from beautynet.translator import Translator
    from beautynet.verbs.stream import stream

    count = stream(sys.stdin.buffer, sys.stdout.buffer, size, Translator.load(**given), layout)
    click.echo(f"{count} frames", err=True)


@main.command()
@click.argument("checkpoint", required=False)
@click.option("--data", help="The dataset whose held-out photos count.  [default: the one it was trained on]")
@click.option("--everyday", type=PATH, help="A folder of other pictures: scores the dream.")
@click.option("--video", type=PATH, help="A film: scores flicker and sharpness.")
@looking_through("What judges (not efficientnet-lite1, which trains); others but the default are downloaded.")
@abstraction
@click.option("--max", "max_", type=click.IntRange(2), help="At most so many pictures of each kind.  [default: all]")
@click.option("-o", "--out", type=PATH, help="Folder.  [default: report/ beside the checkpoint]")
@device
def evaluate(checkpoint: str | None, max_: int | None, **given: Any) -> None:
    """Measure CHECKPOINT (the newest) on photos that it never saw, and write a page of figures and pictures.

    \b
    Examples:
      beautynet evaluate
      beautynet evaluate flowers --everyday street/ --video walk.mp4
      beautynet evaluate flowers --everyday street/ --abstraction 0.8 -o dreamier/
      beautynet evaluate flowers --data other-flowers --max 50 -o report/
    """
    from beautynet.verbs.evaluate import evaluate as run

    report = run(checkpoint, max=max_, **given)
    click.echo(report.table())
    if report.facts["health"]:
        say(f"\nits training: {report.facts['health']}")
    for finding in report.facts["findings"]:
        click.secho(finding, fg="yellow")
    click.echo(f"\n{report.facts['seconds']:.0f} s; open {report.page} in a browser")


@main.group()
def classify() -> None:
    """A few dozen labelled pictures, and it knows whose hand it was.

    \b
    Examples:
      beautynet classify train painters/
      beautynet classify evaluate
      beautynet classify predict painters unknown.jpg
    """


@classify.command("train")
@click.argument("data", type=PATH)
@labels
@click.option("--name", help="Where to: checkpoints/NAME.  [default: the data's name]")
@looking_through("What looks at the pictures; all but the EfficientNets are downloaded.")
@click.option("--finetune", is_flag=True, help="Let the backbone's last layers learn too; kept if it is better.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=3.0, help="To fine-tune for.")
@click.option("--seed", type=int, default=0, help="Another one keeps other pictures to test on.")
@device
def classify_train(data: Path, **given: Any) -> None:
    """Train a classifier on DATA: a folder (or zip) with a folder for each label, or a CSV.

    It takes seconds. A CSV begins with `path,label`, with more `label` columns for pictures with several, and if
    wanted `split` (train, val, test). A folder `other` with anything else lets it say none of these.

    \b
    Examples:
      beautynet classify train painters/
      beautynet classify train artists.zip --finetune --minutes 5
      beautynet classify train photos/ --labels labels.csv --name artists
    """
    from beautynet.verbs.classify_train import classify_train as run

    summary = run(data, **given)
    say(summary.sentence())
    for line in summary.advice:
        say(line)
    sys.exit(PARTLY if summary.skipped else 0)


@classify.command("evaluate")
@click.argument("model", required=False)
@click.argument("data", required=False, type=PATH)
@labels
@click.option("-o", "--out", type=PATH, help="Folder.  [default: report/ beside the model]")
@device
def classify_evaluate(model: str | None, data: Path | None, **given: Any) -> None:
    """Measure MODEL (the newest) on the pictures it kept to test on, or on DATA, and write a page of it.

    \b
    Examples:
      beautynet classify evaluate
      beautynet classify evaluate painters more-paintings/ -o report/
    """
    from beautynet.verbs.classify_evaluate import classify_evaluate as run

    report = run(model, data, **given)
    say(report.table())
    for name, reason in report.left_out:
        say(f"left out {name}: {reason}", err=True)
    for line in report.advice:
        say(line)
    click.echo(f"open {report.page} in a browser")


@classify.command("predict")
@click.argument("model")
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("--top", type=click.IntRange(1), default=3, help="Labels for each picture.")
@click.option("--heat", type=PATH, help="A folder for pictures of where it looked.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each picture.")
@device
def classify_predict(model: str, paths: tuple[Path, ...], as_json: bool, **given: Any) -> None:
    """What MODEL says of pictures, or of all in folders.

    \b
    Examples:
      beautynet classify predict painters unknown.jpg
      beautynet classify predict artists walls/ --top 1 --json
      beautynet classify predict artists wall.jpg --heat looked/
    """
    from beautynet.verbs.classify_predict import classify_predict as run

    found = run(model, paths, **given)
    for each in found:
        if as_json:
            click.echo(each.json())
        else:
            say(each.line(), err=each.reason is not None)
    sys.exit(PARTLY if any(each.reason for each in found) else 0)


@classify.command("serve")
@click.argument("model", required=False)
@serving
@click.option("--port", type=click.IntRange(1, 65535), default=8341, help="Where it listens.")
@device
def classify_serve(model: str | None, **given: Any) -> None:
    """Let MODEL (the newest) answer over HTTP, to programs and browsers on this machine, or with --host on others.

    \b
    Examples:
      beautynet classify serve
      beautynet classify serve artists --port 9000
      beautynet classify serve artists --host 0.0.0.0
    """
    from beautynet.verbs.classify_serve import classify_serve as run

    run(model, **given)


@main.command()
@checkpoint
@click.option("--camera", metavar="N|rtsp://…", help="A camera of this machine, 0 is the first, or of the network.")
@click.option(
    "--films", type=PATH, default=".", show_default=False, help="The folder whose films it shows.  [default: this one]"
)
@colors
@serving
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens.  [default: any that is free]")
@no_browser
@device
def live(no_browser: bool, **given: Any) -> None:
    """Stand before the network: your camera and what the network makes of it, in the browser, with sliders.

    The same page shows the datasets, the run that trains, and the films in this folder.

    \b
    Examples:
      beautynet live
      beautynet live -c flowers --colors rose.jpg
      beautynet live --camera 0 --host 0.0.0.0 --token rosegarden
    """
    from beautynet.verbs.live import live as run

    run(browser=not no_browser, **given)


class OrElse(click.Group):
    """A group whose first word, where it names none of its commands, belongs to the command `otherwise`."""

    otherwise = "picture"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in where it is left out."""
        return super().parse_args(ctx, args if args and args[0] in self.commands else [self.otherwise, *args])


drawing = options(
    click.option("--ellipses", type=int, default=8, help="How many."),
    click.option("--colors", type=int, help="So many colours in all.  [default: each ellipse its own]"),
    click.option("--palette", type=PATH, help="A file of colours, one a line, such as #f59d1b."),
    click.option("--from-photo", type=PATH, help="Take the colours from a picture."),
    click.option("--background", default="auto", metavar="auto|COLOR", help="What is behind them."),
    click.option("--minutes", type=float, default=1.0, help="To search for, per drawing."),
    click.option("--steps", type=int, help="Steps of the method, instead of a time: same seed, same drawing."),
    click.option(
        "--method",
        type=click.Choice(("gradient", "evolve", "search")),
        default="gradient",
        help="Downhill through the network, CMA-ES, or trying at random.",
    ),
    click.option(
        "--backbone",
        multiple=True,
        type=click.Choice(BACKBONE_NAMES),
        default=BACKBONE_NAMES[:1],
        help="Who has to be convinced; repeats: all of them together.",
    ),
    click.option("--ensemble", is_flag=True, help="Both that need no download."),
    click.option("--model", metavar="MODEL", help="A classifier that was trained here, instead: draw its labels."),
    click.option("--size", type=click.IntRange(32, 8192), default=1024, help="Of the PNG, in px."),
    click.option("--seed", type=int, default=0, help="Another one, another drawing."),
    click.option("--film/--no-film", default=True, help="The search as a film."),
    device,
)


def _networks(ensemble: bool, given: dict[str, Any]) -> dict[str, Any]:
    both = (*given["backbone"], *BACKBONE_NAMES[:2])
    return given | {"backbone": tuple(dict.fromkeys(both))} if ensemble else given


@main.group(cls=OrElse)
def draw() -> None:
    """A few ellipses that a network swears are a shark."""


@draw.command("picture")
@click.argument("names", nargs=-1)
@click.option("--list", "list_", is_flag=True, help="Show what can be drawn.")
@click.option("-o", "--out", type=PATH, help="Folder.  [default: drawings/NAME]")
@drawing
def draw_picture(names: tuple[str, ...], list_: bool, ensemble: bool, **given: Any) -> None:
    """Find a few ellipses that a network takes for NAMES: SVG, PNG, and the film of the search.

    Any class of ImageNet, or a label of a classifier that was trained here (--model); several names, all at once.
    `beautynet draw gallery` draws many and makes a page of them; `beautynet draw survey` says how easy each class is.

    \b
    Examples:
      beautynet draw "great white shark"
      beautynet draw daisy --ellipses 16 --colors 2 --background white
      beautynet draw "school bus" --from-photo dump.jpg --ensemble
      beautynet draw invader --model artists
    """
    from beautynet.verbs.draw import all_names
    from beautynet.verbs.draw import draw as run

    if list_:
        say("\n".join(sorted(all_names(given["model"]))))
        return
    summary = run(*names, **_networks(ensemble, given))
    say(summary.sentence())
    if summary.stopped_by is not None:
        sys.exit(128 + summary.stopped_by)


@draw.command("gallery")
@click.argument("names", nargs=-1)
@click.option("-o", "--out", type=PATH, default="gallery", help="Folder.")
@drawing
def draw_gallery(names: tuple[str, ...], ensemble: bool, **given: Any) -> None:
    """Draw each of NAMES by itself, and make one page of them, the most convincing first.

    The same command goes on where it was stopped.

    \b
    Examples:
      beautynet draw gallery daisy banana "school bus" teapot
      beautynet draw gallery daisy banana --colors 2 --minutes 0.5 -o two-colours/
    """
    from beautynet.verbs.draw import draw_gallery as run

    summary = run(*names, **_networks(ensemble, given))
    say(summary.sentence())
    if summary.stopped_by is not None:
        sys.exit(128 + summary.stopped_by)


@draw.command("survey")
@click.option("--images", type=int, default=1000, help="Random drawings.")
@click.option("--ellipses", type=int, default=8, help="In each.")
@click.option("--colors", type=int, help="So many colours in each.  [default: each ellipse its own]")
@looking_through("Who looks.")
@click.option("--model", metavar="MODEL", help="A classifier that was trained here, instead.")
@click.option("--seed", type=int, default=0, help="Another one, other drawings.")
@click.option("-o", "--out", type=PATH, default="survey", help="Folder.")
@device
def draw_survey(**given: Any) -> None:
    """What a network sees in ellipses thrown at random: which classes come easily, and which never.

    \b
    Examples:
      beautynet draw survey
      beautynet draw survey --images 5000 --colors 2 -o two-colours/
    """
    from beautynet.verbs.draw_survey import draw_survey as run

    say(run(**given).sentence())


@main.command()
@click.argument("what", type=click.Choice(("train", "translate")), default="train")
@click.option("--size", type=click.IntRange(64, 2048), default=256, help="Side in px.")
@click.option("--preset", type=click.Choice(PRESET_NAMES), help="Size of the networks.  [default: the device's]")
@click.option("--batch", type=click.IntRange(1), help="Photos in a step.  [default: the device's]")
@condition
@click.option("--data", help="A dataset.  [default: noise]")
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, help="To measure for.")
@click.option("--no-plain", is_flag=True, help="Leave plain pix2pix out.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@device
def bench(what: str, no_plain: bool, as_json: bool, **given: Any) -> None:
    """How quick this machine trains, or dreams; from a checkout with plain pix2pix beside it.

    \b
    Examples:
      beautynet bench train
      beautynet bench train --size 128 --preset M
      beautynet bench translate --preset S --json
    """
    from beautynet.speed import bench as run

    result = run(what, plain=not no_plain, started=STARTED, **given)
    click.echo(result.json() if as_json else result.table())


@main.command()
@click.argument("checkpoint", required=False)
@click.option("--format", "format_", default="onnx", metavar="onnx|pt2|safetensors|web", help="Kind of file.")
@click.option("-o", "--out", type=PATH, help="File, or folder for web.  [default: beside the checkpoint]")
def export(checkpoint: str | None, format_: str, out: Path | None) -> None:
    """Write a checkpoint or a classifier for use elsewhere, checked against our own output on a photo.

    \b
    Examples:
      beautynet export
      beautynet export flowers --format pt2 -o flowers.pt2
      beautynet export artists --format onnx
      beautynet export checkpoints/flowers --format safetensors
      beautynet export flowers --format web -o public/
    """
    from beautynet.verbs.export import export as run

    summary = run(checkpoint, format=format_, out=out)
    click.echo(summary.sentence())


@main.command()
@click.argument("target")
def info(target: str) -> None:
    """What a dataset, checkpoint or classifier is: trained on what, how long, with which recipe.

    \b
    Examples:
      beautynet info checkpoints/flowers
      beautynet info data/flowers
    """
    from beautynet.verbs.info import info as run

    say(run(target))


@main.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=3.0, help="Training.")
@click.option("-o", "--out", type=PATH, default=Path("demo"), help="Folder.")
@device
def demo(minutes: float, out: Path, device: str) -> None:
    """See the whole job with nothing prepared: one dahlia, then a palace made of it, on one page.

    \b
    Examples:
      beautynet demo
      beautynet demo --minutes 10
    """
    from beautynet.showcase import demo as run

    page = run(minutes=minutes, out=out, device=device)
    click.echo(f"open {page} in a browser")


if __name__ == "__main__":
    main()
