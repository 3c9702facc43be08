"""Classifiers: a picture in, a probability for each label out. A backbone's features under a regularised linear head.

What is seen of a picture: the whole of it, and two of its quarters from nearer, so that a small thing in a large photo
is seen too. Of each, what the backbone's head gets to see (things), and the mean and standard deviation of each channel
of five of its layers (style: what tells painters apart; Huang and Belongie 2017, section 3).
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from beautynet import backbones, images
from beautynet import checkpoint as checkpoints
from beautynet.backbones import Backbone
from beautynet.classifying.labelled import SPLITS, Example, Labelled
from beautynet.classifying.scores import Scores
from beautynet.console import progress
from beautynet.datasets.dedup import hashes
from beautynet.decode import Unreadable, as_shown, decode
from beautynet.devices import pick_device
from beautynet.errors import UsageError
from beautynet.machine import cores

VIEWS = 3
BATCH = 8
"""Pictures whose features are found at once."""
LARGEST = 1024
"""px of a side of a picture that shows where it looked."""
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the head: scikit-learn's C, small is cautious. Cross-validation chooses."""
FOLDS = 5
UNSURE = 5.0
"""Logit against a label that a fold of the cross-validation has never seen."""

Floats = NDArray[np.float32]


class Seen(NamedTuple):
    """A picture after it was looked at."""

    features: Floats  # (D,)
    hashes: tuple[str, str]  # as of `dedup.hashes`


class Head(NamedTuple):
    """A linear layer on features, what it was chosen by, and how it did on pictures that it had not seen."""

    weight: Floats  # (L, D)
    bias: Floats  # (L,)
    strength: float
    style: bool  # whether it looks at style too
    unseen: Scores | None  # of each picture, by the fold that was trained without it; None where there are too few


def header(trained_on: Mapping[str, int], scores: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """What a file says beside the weights: pictures of each label, how it did; `said` is more than nothing of the rest.

    `data` and `table` are what it was trained on, `pictures` their names by split, `seen` the perceptual hashes of what
    it has learnt from; `head` says how it was chosen; `suspects`, `twins` and `advice` are as in `scores.py`.
    """
    nothing: dict[str, Any] = {
        "several": False,
        "data": None,
        "table": None,
        "pictures": {place: [] for place in SPLITS},
        "seen": [],
        "head": {},
        "suspects": [],
        "twins": [],
        "advice": [],
    }
    return {**nothing, **said, "trained_on": dict(trained_on), "scores": dict(scores)}


class Classifier:
    """`Classifier.load("painters")(picture)` is each label's probability, the likeliest first."""

    def __init__(
        self, backbone: Backbone, labels: Sequence[str], weight: Floats, bias: Floats, header: dict[str, Any]
    ) -> None:
        """A head of weight (L, D) and bias (L,) on a backbone; `header` says the rest, see `header()`."""
        self.backbone = backbone
        self.labels = list(labels)
        self.weight, self.bias = weight, bias
        self.header = header
        self.several: bool = header["several"]
        """Whether a picture may have several labels: then probabilities do not add up to one."""

    @classmethod
    def load(cls, classifier: str | Path | None = None, *, device: str = "auto") -> Self:
        """Load one (file, folder or name in `checkpoints/`; None is the newest). Raises BeautyError."""
        path = checkpoints.find(classifier, checkpoints.CLASSIFIER)
        header = checkpoints.read_header(path, checkpoints.CLASSIFIER)
        weights = checkpoints.read_weights(path, checkpoints.CLASSIFIER)
        with checkpoints.rebuilding(path):
            if (name := header["backbone"]) not in backbones.BACKBONES:
                raise ValueError(f"unknown backbone {name!r}")
        backbone = backbones.load(name, pick_device(device))  # what fails here is no fault of the file
        with checkpoints.rebuilding(path):
            weight, bias = (weights.pop(name).numpy() for name in ("head.weight", "head.bias"))
            if weight.shape != (len(header["labels"]), 2 * sum(widths(backbone))) or bias.shape != weight.shape[:1]:
                raise ValueError(f"a head of {weight.shape} for {len(header['labels'])} labels")
            restore(backbone, weights)
            return cls(backbone, header["labels"], weight, bias, header)

    def save(self, path: Path, tuned: dict[str, Tensor] | None = None) -> None:
        """Write it atomically, with the weights of the backbone that fine-tuning changed."""
        weights = {"head.weight": torch.from_numpy(self.weight), "head.bias": torch.from_numpy(self.bias)}
        header = {**self.header, "labels": self.labels, "backbone": self.backbone.name}
        checkpoints.write_model(path, {**weights, **(tuned or {})}, header, checkpoints.CLASSIFIER)

    def __call__(self, picture: Image.Image) -> dict[str, float]:
        """Each label's probability, the likeliest first."""
        features = find_features(self.backbone, views(picture, self.backbone.size)[None])
        return self.named(self.probabilities(features)[0])

    def named(self, probabilities: NDArray[np.float64]) -> dict[str, float]:
        """(L,) by label, the likeliest first."""
        return {self.labels[i]: float(probabilities[i]) for i in np.argsort(-probabilities, kind="stable")}

    def probabilities(self, features: Floats) -> NDArray[np.float64]:
        """Of pictures with these features (N, D): (N, L)."""
        return _probabilities(features @ self.weight.T + self.bias, self.several)

    def heat(self, picture: Image.Image, label: str | None = None) -> Floats:
        """Where it looked to say `label` (default: the likeliest): 0..1, of the picture's size, (H, W).

        HiResCAM (Draelos and Carin 2020) on the last of the backbone's five layers, of the picture as a whole.
        """
        picture = as_shown(picture)
        if label is not None and label not in self.labels:
            raise UsageError(f"the classifier knows no {label}: it knows {', '.join(self.labels)}")
        batch = images.to_tensor(views(picture, self.backbone.size)[0], self.backbone.device).requires_grad_()
        number = self.labels.index(label or next(iter(self(picture))))
        with torch.enable_grad():
            found = self.backbone.look(batch, maps=True)
            features = described(found)
            weight = torch.from_numpy(self.weight[number, : features.shape[1]]).to(batch.device)
            map_ = found.maps[-1]
            (gradient,) = torch.autograd.grad((features @ weight).sum(), map_)
        heat = (gradient * map_).sum(1)[0].relu().detach().float().cpu().numpy()
        large = np.asarray(
            Image.fromarray(heat / max(float(heat.max()), 1e-9)).resize(picture.size, Image.Resampling.BICUBIC)
        )
        return large.clip(0, 1)

    def overlaid(self, picture: Image.Image, label: str | None = None) -> Image.Image:
        """The picture, bright where it looked (see `heat`) and dark where it did not; its sides at most LARGEST px."""
        picture = as_shown(picture)
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS, reducing_gap=2)
        colours = cv2.applyColorMap((self.heat(picture, label) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        return Image.blend(picture, Image.fromarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)), 0.5)


class Namer(nn.Module):
    """A classifier as one module: picture (N, 3, 2S, 2S) in [-1, 1] -> probabilities (N, labels).

    The whole of it is seen at half of its size, two of its quarters as they are; S is the backbone's `size`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.backbone, self.several = network.backbone, network.several
        self.register_buffer("weight", torch.from_numpy(network.weight))
        self.register_buffer("bias", torch.from_numpy(network.bias))

    def forward(self, picture: Tensor) -> Tensor:
        """Look three times, then name."""
        logits = self.logits(picture)
        return logits.sigmoid() if self.several else logits.softmax(1)

    def logits(self, picture: Tensor) -> Tensor:
        """What probabilities are made of: (N, labels). Gradients pass."""
        side = self.backbone.size
        views = (F.avg_pool2d(picture, 2), picture[..., :side, side:], picture[..., side:, :side])
        whole, *quarters = (described(self.backbone.look(view, maps=True)) for view in views)
        return torch.cat([whole, (quarters[0] + quarters[1]) / 2], 1) @ self.weight.T + self.bias


def views(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """What is looked at: the whole, the upper right quarter, the lower left one: uint8 (3, size, size, 3) RGB."""
    picture = as_shown(picture)  # first: palettes cannot be averaged
    if min(picture.size) > 4 * size:  # what is thrown away need not be averaged well
        picture = picture.reduce(min(picture.size) // (2 * size))
    pixels = np.asarray(picture)
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    shown = (pixels, pixels[:height, -width:], pixels[-height:, :width])
    return np.concatenate([images.resize_uint8(each[None], size, size) for each in shown])


def widths(backbone: Backbone) -> tuple[int, int]:
    """Features of one view: of things, and of style."""
    seen = backbone.see(torch.zeros(1, 3, backbone.size, backbone.size, device=backbone.device), maps=True)
    return seen.features.shape[1], style(seen.maps).shape[1]


def described(view: backbones.Seen) -> Tensor:
    """All that is known of views: things, then style, (N, D)."""
    return torch.cat([view.features, style(view.maps)], 1)


def style(maps: Sequence[Tensor]) -> Tensor:
    """Mean and standard deviation of each channel of the maps: (N, 2 · channels)."""
    return torch.cat([torch.cat([m.mean((2, 3)), m.flatten(2).std(2, correction=0)], 1) for m in maps], 1)


def find_features(backbone: Backbone, shown: NDArray[np.uint8]) -> Floats:
    """Of N pictures' views, (N, 3, S, S, 3): those of the whole, then the mean of those of its quarters: (N, D)."""
    batches = torch.split(torch.from_numpy(shown).flatten(0, 1), backbone.batch)
    seen = (backbone.see(images.to_tensor(batch.numpy(), backbone.device), maps=True) for batch in batches)
    each = torch.cat([described(views).cpu() for views in seen])
    each = each.view(-1, VIEWS, each.shape[1])
    return torch.cat([each[:, 0], each[:, 1:].mean(1)], 1).numpy()


def look(
    backbone: Backbone, sources: Iterable[bytes | Path | Unreadable], keep: list[NDArray[np.uint8]] | None = None
) -> Iterator[Seen | Unreadable]:
    """What each picture is seen as, in order, or why it cannot be; a few at a time are in memory.

    With `keep`, the whole views (S, S, 3) of those that can be read are left in it.
    """

    def read(source: bytes | Path | Unreadable) -> tuple[NDArray[np.uint8], tuple[str, str]] | Unreadable:
        if isinstance(source, Unreadable):
            return source
        try:
            picture = decode(source)
        except Unreadable as reason:
            return reason
        return views(picture, backbone.size), hashes(picture)

    def answers(waiting: Sequence[Future[Any]]) -> Iterator[Seen | Unreadable]:
        read = [future.result() for future in waiting]
        shown = [each[0] for each in read if not isinstance(each, Unreadable)]
        if keep is not None:
            keep.extend(each[0] for each in shown)
        features = iter(find_features(backbone, np.stack(shown)) if shown else ())
        for each in read:
            yield each if isinstance(each, Unreadable) else Seen(next(features), each[1])

    with ThreadPoolExecutor(min(cores(), 4)) as pool:
        waiting: deque[Future[Any]] = deque()
        for source in sources:
            waiting.append(pool.submit(read, source))
            if len(waiting) >= 2 * BATCH:  # half of them are being read meanwhile
                yield from answers([waiting.popleft() for _ in range(BATCH)])
        while waiting:
            yield from answers([waiting.popleft() for _ in range(min(BATCH, len(waiting)))])


def look_at(
    data: Labelled, backbone: Backbone, what: str, keep: list[NDArray[np.uint8]] | None = None
) -> Iterator[tuple[Example, Seen | Unreadable]]:
    """`look` at all examples, under a progress bar that says `what` is done."""
    asked: list[Example] = []

    def sources() -> Iterator[bytes | Path | Unreadable]:
        for example, source in data.sources():
            asked.append(example)
            yield source

    with progress("pictures") as bar:
        task = bar.add_task(what, total=len(data.examples))
        for number, seen in enumerate(look(backbone, sources(), keep)):
            bar.advance(task)
            yield asked[number], seen


def restore(backbone: Backbone, weights: dict[str, Tensor]) -> None:
    """Put weights that fine-tuning changed into the backbone."""
    for name, value in weights.items():
        if backbone.late[name].shape != value.shape:
            raise ValueError(f"{name} of {tuple(value.shape)}")
        backbone.late[name].data.copy_(value)


def fit(
    features: Floats,
    things: int,
    truth: NDArray[np.bool_],
    labels: Sequence[str],
    groups: Sequence[int],
    several: bool = False,
    strengths: Sequence[float] = STRENGTHS,
    balanced: bool = False,
    styles: Sequence[bool] = (True, False),
) -> Head:
    """The head that does best on pictures left out: features (N, D), truth (N, L), each label at least once.

    The first `things` features of a view are of things, the others of style.

    Logistic regression, of all features or of things only (`styles`) and with one of `strengths`, as cross-validation
    finds the likeliest; pictures of one group stay on one side. If `balanced`, labels count alike, however many
    pictures have them. Unless there is but one of `strengths`, it also sets the temperature (Guo et al. 2017), so that
    of the answers with 0.8 four in five are right.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    standard = (features - mean) / deviation
    view = standard.shape[1] // 2
    columns = {True: np.arange(2 * view), False: np.r_[0:things, view : view + things]}
    folds = _folds(truth, groups, several)
    least, best_style, best_strength = np.inf, styles[0], strengths[len(strengths) // 3]
    unseen_logits: NDArray[np.float64] | None = None
    turned = {}
    for with_style in styles:
        # Turned into the space that the pictures span: the same head, in a fraction of the time where they are few.
        rotated, _ = turned[with_style] = _turned(standard[:, columns[with_style]])
        for strength in strengths if folds else ():
            unseen = np.empty(truth.shape)
            for training, left_out in folds:
                weight, bias = _regression(rotated[training], truth[training], strength, several, balanced)
                unseen[left_out] = rotated[left_out] @ weight.T + bias
            if (found := loss(unseen, truth, several)) < least:
                least, best_style, best_strength, unseen_logits = found, with_style, strength, unseen
    rotated, basis = turned[best_style]
    weight, bias = _regression(rotated, truth, best_strength, several, balanced)
    warmth = 1.0
    scores = None
    if unseen_logits is not None:
        if len(strengths) > 1:
            warmth, _ = tempered(unseen_logits, truth, several)
        scores = Scores(labels, truth, _probabilities(unseen_logits * warmth, several), several)
    whole = np.zeros((truth.shape[1], features.shape[1]))
    whole[:, columns[best_style]] = warmth * weight @ basis
    whole /= deviation
    bias = warmth * bias - whole @ mean
    return Head(whole.astype(np.float32), bias.astype(np.float32), best_strength, best_style, scores)


def tempered(logits: NDArray[Any], truth: NDArray[np.bool_], several: bool) -> tuple[float, float]:
    """What to multiply logits (N, L) by so that they are likeliest, and their loss then (Guo et al. 2017)."""
    tried = np.geomspace(0.2, 5, 65)
    losses = [loss(logits * each, truth, several) for each in tried]
    least = int(np.argmin(losses))
    return float(tried[least]), losses[least]


def _turned(values: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, D) in a basis of its rows, and the basis (R, D)."""
    if len(values) >= values.shape[1]:
        return values.astype(np.float64), np.eye(values.shape[1])
    left, lengths, basis = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    return left * lengths, basis


def _folds(
    truth: NDArray[np.bool_], groups: Sequence[int], several: bool
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(training, left out) indices; none where a label has but one picture."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    numbers = np.array(groups)
    rarest = min(len(np.unique(numbers[truth[:, i]])) for i in range(truth.shape[1]))
    if rarest < 2:
        return []
    count = min(FOLDS, rarest)
    if several:
        return list(GroupKFold(count, shuffle=True, random_state=0).split(truth, groups=numbers))
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    return list(folds.split(truth, truth.argmax(1), numbers))


def _regression(
    values: NDArray[np.float64], truth: NDArray[np.bool_], strength: float, several: bool, balanced: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (L, D) and bias (L,) of a logistic regression: one for all labels, or one for each."""
    from sklearn.linear_model import LogisticRegression

    def fitted(target: NDArray[Any]) -> Any:
        with warnings.catch_warnings():  # nearly there is near enough
            warnings.simplefilter("ignore")
            return LogisticRegression(C=strength, max_iter=300, class_weight=weighting).fit(values, target)

    weighting = "balanced" if balanced else None
    weight = np.zeros((truth.shape[1], values.shape[1]))
    bias = np.full(truth.shape[1], -UNSURE)
    if several:
        for i in range(truth.shape[1]):
            if truth[:, i].all() or not truth[:, i].any():
                bias[i] = UNSURE if truth[:, i].any() else -UNSURE
            else:
                model = fitted(truth[:, i])
                weight[i], bias[i] = model.coef_[0], model.intercept_[0]
        return weight, bias
    if len(kinds := np.unique(truth.argmax(1))) < 2:  # in a fold of a few pictures, some of which are the same
        bias[kinds] = UNSURE
        return weight, bias
    model = fitted(truth.argmax(1))
    # of two labels it knows one row, for the second against the first: each gets half of it
    shares = np.array(((-0.5,), (0.5,)) if len(model.classes_) == 2 else ((1.0,),))
    weight[model.classes_], bias[model.classes_] = shares * model.coef_, shares[:, 0] * model.intercept_
    return weight, bias


def _probabilities(logits: NDArray[Any], several: bool) -> NDArray[np.float64]:
    logits = logits.astype(np.float64)
    if several:
        sigmoid: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(logits / 2)  # which does not overflow
        return sigmoid
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def loss(logits: NDArray[Any], truth: NDArray[np.bool_], several: bool) -> float:
    """Mean negative log likelihood."""
    likely = np.clip(_probabilities(logits, several), 1e-9, 1)
    if several:
        return float(-np.where(truth, np.log(likely), np.log(np.clip(1 - likely, 1e-9, 1))).mean())
    return float(-np.log(likely[truth]).mean())
