"""Judge a dataset's photos: what is junk is not trained on, and what is doubtful is shown first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beautynet import backbones, files
from beautynet import checkpoint as checkpoints
from beautynet.classifying import judge
from beautynet.classifying.classifier import Floats
from beautynet.classifying.judge import Judge
from beautynet.datasets import curation, manifest
from beautynet.datasets.dataset import evenly
from beautynet.datasets.manifest import REJECTED, Manifest
from beautynet.decode import pictures_in
from beautynet.devices import pick_device
from beautynet.errors import BeautyError, UsageError

MOST_LIKE = 500
"""Photos of the dataset that stand for what is wanted, where nothing else is named."""
DOUBTFUL = 0.2
"""Probabilities between this and 1 less this are worth a look."""


@dataclass(frozen=True)
class CurateSummary:
    """Where a dataset stands after it was judged."""

    folder: Path
    photos: int
    out: int
    """Not to be trained on."""
    doubtful: int
    unreadable: int
    model: Path | None
    """The judge, where one was trained."""

    def sentence(self) -> str:
        """All of it in words."""
        made = f"{self.model}: " if self.model else ""
        text = f"{made}{self.photos - self.out:,} of {self.photos:,} photos in {self.folder} are to be trained on, "
        text += f"{self.out:,} are not; {self.doubtful:,} are doubtful: `beautynet look {self.folder}` shows them first"
        return text + (f"; {self.unreadable:,} cannot be read" if self.unreadable else "")


def curate(
    dataset: str | Path | None = None,
    *,
    model: str | Path | None = None,
    like: str | Path | None = None,
    unlike: str | Path | None = None,
    want: str | Sequence[str] = (),
    device: str = "auto",
) -> CurateSummary:
    """Judge each photo of a dataset (a folder or a name in `data/`; the newest); the verdicts go into its manifest.

    With `model`, a classifier, photos with a label of `want` are wanted (None: all its labels but `other`). Without
    one, a judge is trained in seconds: on what is `like` (a folder of pictures; by default the dataset itself) and
    what is `unlike` it (a folder), besides what was clicked out on the contact sheet; it is kept in
    `checkpoints/NAME-judge`. So click some out, and call it again. Nothing moves: photos that are out are not trained
    on. A photo that the judge was trained on is judged by a head that was not. Raises BeautyError.
    """
    if model is not None and (like is not None or unlike is not None):
        raise UsageError("--model or --like and --unlike, not both")
    if want and model is None:
        raise UsageError("--want names labels of a --model")
    for place in (like, unlike):
        if place is not None and not Path(place).is_dir():
            raise BeautyError(f"there is no folder {place}")
    folder = manifest.find(dataset)
    rows = curation.photos(manifest.latest(folder))
    photos = [folder / name for name, row in rows.items() if row.status == "kept" and (folder / name).is_file()]
    if not photos:
        raise BeautyError(f"no photos in {folder}: gather some with `beautynet scrape {folder.name}`")
    Manifest(folder).close()  # refused while another run is filling it: before all the work
    path: Path | None = None
    if model is not None:
        asked = Judge.load(model, files.words(want), device)
        features, unseen = judge.remembered(folder, photos, asked.network), dict[str, float]()
    else:
        path = checkpoints.CHECKPOINTS / f"{folder.resolve().name}{judge.SUFFIX}" / checkpoints.CLASSIFIER.file
        out = [folder / REJECTED / name for name, row in rows.items() if row.status == "rejected"]
        (asked, unseen), features = _trained(folder, photos, out, like, unlike, path, device)
    shares = {
        name: unseen[name] if name in unseen else float(asked.shares(found[None])[0])
        for name, found in features.items()
    }
    with Manifest(folder) as opened:
        curation.judge(opened, [rows[name] for name in shares], list(shares.values()))
    return CurateSummary(
        folder,
        len(photos),
        sum(curation.is_out(curation.verdict(share)) for share in shares.values()),
        sum(DOUBTFUL < share < 1 - DOUBTFUL for share in shares.values()),
        len(photos) - len(shares),
        path,
    )


def _trained(
    folder: Path,
    photos: list[Path],
    out: list[Path],
    like: str | Path | None,
    unlike: str | Path | None,
    path: Path,
    device: str,
) -> tuple[judge.Trained, dict[str, Floats]]:
    """A judge between what is `like` and `unlike`, written to `path`, and the features of the photos, by name."""
    network = backbones.load(device=pick_device(device))
    out = [each for each in out if each.is_file()]
    features = judge.remembered(folder, photos + out, network)
    bad = {each.name: features.pop(each.name) for each in out if each.name in features}
    if unlike is not None:
        bad |= {str(p): found for p, found in judge.features_of(pictures_in(Path(unlike)), network, "unlike")}
    if like is not None:
        good = {str(p): found for p, found in judge.features_of(pictures_in(Path(like)), network, "like")}
    else:
        names = list(features)
        good = {names[i]: features[names[i]] for i in evenly(len(names), MOST_LIKE)}
    if len(bad) < 2:
        raise BeautyError(
            f"nothing to tell junk by: click some photos out with `beautynet look {folder}`, or name a folder of "
            "such pictures with --unlike, or a classifier with --model"
        )
    return judge.trained(good, bad, network, path, mixed=like is None), features
