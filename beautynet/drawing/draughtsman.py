"""The draughtsman: tries ellipses until networks swear that they see what was asked for.

An older experiment threw random ellipses at VGG16 and kept what looked more like a great white shark. `METHODS` has
that search, and better ones; all are scored alike: over small shifts, scales and blurs, so that a drawing has to
convince and not to hit one pattern of pixels.
"""

from __future__ import annotations

import difflib
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from beautynet import backbones, images
from beautynet.classifying.classifier import Classifier, Namer
from beautynet.colour import smooth
from beautynet.devices import pick_device
from beautynet.drawing.ellipses import FEATHER, Ellipses, Style
from beautynet.errors import BeautyError, UsageError

SIDES = (160, 224)
"""Px at which drawings are painted and seen: smaller ones at first, which take half of the time. At 160 px a network
for 224 gives drawings about the scores that it gives them at 224; at 144 it sees other things in them."""
SHIFT, SCALE, BLUR = 0.04, 0.12, 3.0
"""How far a view may be shifted (of the side), scaled (up or down) and blurred (px that an edge takes)."""
MOST_ELLIPSES, MOST_COLOURS = 128, 64
VIEWS = 8
"""Of a drawing when it is judged; always the same ones."""


class Network:
    """A network that names pictures, and those of its labels that are wanted."""

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        side: int,
        logits: Callable[[Tensor], Tensor],
        several: bool = False,
    ) -> None:
        self.name, self.labels, self.side = name, list(labels), side
        self._logits, self._several = logits, several
        self.wanted: list[int] = []
        self.coarse = side
        """A smaller side at which it sees enough to begin with."""

    @classmethod
    def backbone(cls, name: str, device: str = "auto") -> Network:
        """One that knows ImageNet's classes. Raises BeautyError."""
        loaded = backbones.load(name, pick_device(device))
        network = cls(name, backbones.class_names(), loaded.size, loaded.logits)
        network.coarse = loaded.size * SIDES[0] // SIDES[1]
        return network

    @classmethod
    def classifier(cls, path: str | Path, device: str = "auto") -> Network:
        """One that was trained here. Raises BeautyError."""
        loaded = Classifier.load(path, device=device)
        namer = Namer(loaded).to(loaded.backbone.device).eval()
        return cls(str(path), loaded.labels, 2 * loaded.backbone.size, namer.logits, loaded.several)

    def want(self, names: Sequence[str]) -> None:
        """What is looked for, by names as people write them. Raises BeautyError with suggestions."""
        self.wanted = [self.labels.index(found) for found in dict.fromkeys(find(name, self.labels) for name in names)]

    def log_probabilities(self, pictures: Tensor, coarse: bool = False) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1], of any size -> (N, labels). Gradients pass."""
        side = self.coarse if coarse else self.side
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False)
        logits = self._logits(pictures)
        return F.logsigmoid(logits) if self._several else logits.log_softmax(1)

    def convinced(self, pictures: Tensor, coarse: bool = False) -> Tensor:
        """Mean log-probability of what is wanted: (N,)."""
        return self.log_probabilities(pictures, coarse)[:, self.wanted].mean(1)


def networks_of(names: Sequence[str], model: str | Path | None, device: str) -> list[Network]:
    """Those that are asked: backbones, or a classifier with its own. Raises BeautyError."""
    if model and tuple(names) != (backbones.DEFAULT,):
        raise UsageError("a --model looks with its own backbone: give it, or --backbone and --ensemble, not both")
    if model:
        return [Network.classifier(model, device)]
    return [Network.backbone(name, device) for name in dict.fromkeys(names)]


def check(ellipses: int, colours: int | None) -> None:
    """Raise BeautyError unless drawings can be made of so many ellipses, in so many colours (None: any)."""
    if not 1 <= ellipses <= MOST_ELLIPSES:
        raise UsageError(f"{ellipses} ellipses will not do: give 1 to {MOST_ELLIPSES}")
    if colours is not None and not 2 <= colours <= MOST_COLOURS:
        raise UsageError(f"{colours} colours will not do: give 2 to {MOST_COLOURS}, or a drawing shows nothing")


def find(name: str, labels: Sequence[str]) -> str:
    """The label that is meant; a BeautyError that suggests others if none is."""
    if name in labels:  # a Cardigan is a dog, a cardigan is knitted
        return name
    plain = {_plain(label): label for label in reversed(labels)}
    asked = " ".join(_plain(name).replace("_", " ").replace("-", " ").split())
    spelt = {key.replace("-", " "): label for key, label in plain.items()}
    if asked in spelt:
        return spelt[asked]
    within = [label for key, label in spelt.items() if asked and asked in key]
    if len(within) == 1:
        return within[0]
    if slips := difflib.get_close_matches(asked, spelt, n=1, cutoff=0.9):  # a letter or two
        return spelt[slips[0]]
    near = within or [spelt[key] for key in difflib.get_close_matches(asked, spelt, n=5, cutoff=0.6)]
    hint = f"did you mean {', '.join(sorted(near)[:6])}?" if near else "`beautynet draw --list` shows all names"
    raise BeautyError(f"no label {name!r}: {hint}")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class Critic:
    """Networks that have to be convinced, together."""

    def __init__(self, networks: Sequence[Network], device: torch.device | str = "cpu") -> None:
        self.networks, self.device = list(networks), device
        self.looks = 0
        """Pictures seen, by each network."""
        self.seconds = {network.name: 0.0 for network in networks}
        """Spent in each of them."""

    def score(
        self, ellipses: Ellipses, feather: Tensor | float = FEATHER, side: int = SIDES[0], coarse: bool = False
    ) -> Tensor:
        """Mean log-probability of what is wanted, (N,), of drawings as they are."""
        with torch.no_grad():
            return self._look(ellipses.painted(side, feather), coarse)[0]

    def ascend(self, ellipses: Ellipses, feather: Tensor, side: int, coarse: bool = False) -> Tensor:
        """As `score`, and the gradient of the sum is added to what the ellipses are made of."""
        pictures = ellipses.painted(side, feather)
        scores, slopes = self._look(pictures.detach(), coarse, ascending=True)
        torch.autograd.backward(pictures, slopes)
        return scores

    def _look(self, pictures: Tensor, coarse: bool, ascending: bool = False) -> tuple[Tensor, Tensor]:
        """What all networks make of pictures together, (N,), and what would make it more, if `ascending`."""
        scores, slopes = pictures.new_zeros(len(pictures)), torch.zeros_like(pictures)
        batch = backbones.BATCH_CPU if pictures.device.type == "cpu" else backbones.BATCH
        for network in self.networks:
            began = time.perf_counter()
            for at in range(0, len(pictures), batch):
                some = pictures[at : at + batch].requires_grad_(ascending)
                found = network.convinced(some, coarse)
                scores[at : at + batch] += found.detach() / len(self.networks)
                if ascending:
                    slopes[at : at + batch] += torch.autograd.grad(found.sum() / len(self.networks), some)[0]
            self.seconds[network.name] += time.perf_counter() - began
        self.looks += len(pictures)
        return scores, slopes

    def views(self, ellipses: Ellipses, count: int, dice: torch.Generator) -> tuple[Ellipses, Tensor]:
        """`count` views of each of N drawings, (N · count) in all, and the width of their edges."""
        many = Ellipses(*(each.repeat_interleave(count, 0) for each in ellipses))
        where = torch.rand(len(many.tilts), 4, generator=dice).to(self.device)
        shift = SHIFT * (2 * where[:, :2] - 1)
        scale = torch.exp(SCALE * (2 * where[:, 2:3] - 1))
        feather = FEATHER * (BLUR / FEATHER) ** where[:, 3]
        return many.moved(shift, scale), feather

    def judge(self, style: Style, genes: Tensor) -> Tensor:
        """Log of the confidence in drawings, (N,): the mean probability over `VIEWS` views, always the same."""
        dice = torch.Generator().manual_seed(1)
        found = []
        for side in SIDES:
            seen, feather = self.views(style.read(genes), VIEWS // 2, dice)
            found.append(self.score(seen, feather, side).view(-1, VIEWS // 2))
        return torch.cat(found, 1).exp().mean(1).log()


def confidence(network: Network, picture: NDArray[np.uint8], device: torch.device | str = "cpu") -> dict[str, float]:
    """What a network makes of a picture (H, W, 3), by label, the likeliest first: the mean over `looks_at` it."""
    with torch.no_grad():
        views = looks_at(images.to_tensor(picture, device), network.side)
        found = torch.cat(
            [network.log_probabilities(some).exp() for some in torch.split(views, backbones.BATCH_CPU)]
        ).mean(0)
    ranked = found.argsort(descending=True).tolist()
    return {network.labels[i]: float(found[i]) for i in ranked}


def looks_at(picture: Tensor, side: int) -> Tensor:
    """Views of a finished picture (1, 3, H, W), of pixels and not of ellipses: (13, 3, side, side).

    As it is; shifted by 4 % to each side, what comes in repeating the edge; smaller and larger by a tenth; the four
    corners of nine tenths of it; blurred by 1 and 2 px of `side`.
    """
    whole = images.resize(picture, side, side)
    moves = [(0.0, 0.0, 1.0), *((dx * 0.08, dy * 0.08, 1.0) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))]
    moves += [(0.0, 0.0, 1.1), (0.0, 0.0, 0.9), *((dx * 0.1, dy * 0.1, 0.9) for dx in (1, -1) for dy in (1, -1))]
    theta = whole.new_tensor([[[scale, 0, dx], [0, scale, dy]] for dx, dy, scale in moves])
    places = F.affine_grid(theta, [len(moves), 3, side, side], align_corners=False)
    places = places.clamp(1 / side - 1, 1 - 1 / side)  # the border goes on: not every device has that padding
    seen = F.grid_sample(whole.expand(len(moves), -1, -1, -1), places, align_corners=False)
    return torch.cat([seen, smooth(whole, 1.0), smooth(whole, 2.0)])


class Best(NamedTuple):
    """The best drawing so far."""

    genes: Tensor  # (genes,)
    confidence: float
    """0..1, as `Critic.judge` says."""


Clock = Callable[[], float]
"""The share of the budget that is spent, 0..1."""
Method = Callable[[Critic, Style, Clock, torch.Generator], Iterator[Best]]
"""Yields the best drawing so far, again and again, until the clock says 1."""


def search(critic: Critic, style: Style, clock: Clock, dice: torch.Generator) -> Iterator[Best]:
    """The original's: change a drawing at random, keep it if it is better, and change less and less."""
    first = style.random(4, dice).to(critic.device)
    scores = critic.judge(style, first)
    genes, score = first[scores.argmax()], scores.max()
    yield Best(genes, float(score.exp()))
    while (spent := clock()) < 1:
        step = 0.03**spent
        some = torch.rand(1, len(genes), generator=dice) < max(0.1, 1 - spent)
        tried = genes + step * style.random(1, dice).to(critic.device) * some.to(genes)
        found = critic.judge(style, tried)[0]
        if found > score:
            genes, score = tried[0], found
        yield Best(genes, float(score.exp()))


def evolve(critic: Critic, style: Style, clock: Clock, dice: torch.Generator) -> Iterator[Best]:
    """CMA-ES (Hansen and Ostermeier 2001), a whole population at once; each is seen in views of its own."""
    import cma

    start = style.random(8, dice).to(critic.device)
    start = start[critic.judge(style, start).argmax()]
    options = {"seed": int(torch.randint(1, 2**31, (1,), generator=dice)), "verbose": -9, "popsize": 16}
    options |= {"CMA_diagonal": True}  # the full matrix of so many genes takes longer to learn than there is
    strategy = cma.CMAEvolutionStrategy(start.cpu().double().numpy(), 0.5, options)
    best = Best(start, float(critic.judge(style, start[None]).exp()))
    judged = 0.0
    while (spent := clock()) < 1:
        asked = strategy.ask()
        genes = torch.tensor(np.array(asked), dtype=torch.float32, device=critic.device)
        seen, feather = critic.views(style.read(genes), 2, dice)
        losses = -critic.score(seen, feather).view(-1, 2).mean(1)
        strategy.tell(asked, losses.cpu().tolist())
        if spent - judged > 0.03 or spent == 0:
            judged = spent
            mean = torch.tensor(strategy.mean, dtype=torch.float32, device=critic.device)
            for candidate in (mean, genes[losses.argmin()]):
                best = _better(critic, style, candidate, best)
        yield best
    yield _better(critic, style, torch.tensor(strategy.mean, dtype=torch.float32, device=critic.device), best)


ROUNDS = ((0.0, 12, 1), (0.2, 5, 1), (0.4, 2, 2), (0.6, 1, 4))
"""From this share of the budget on, so many drawings are gone on with, each seen in so many views a step."""
FIRST = 48
"""Random drawings that those are chosen from."""
FINE_FROM = 0.6
"""Until this share of the budget drawings are small."""
RATE = 0.06
SHAKEN = 0.03
"""Standard deviation of what is added to all genes at each step, at first."""
SOFT = 12.0
"""Px by which edges are softer at first."""
JUDGED_EVERY = 0.04
"""Share of the budget between two judgements of where it stands."""


def gradient(critic: Critic, style: Style, clock: Clock, dice: torch.Generator) -> Iterator[Best]:
    """Adam on the genes through the painting and the networks; soft edges first, then hard ones.

    Several drawings begin, those that fall behind are given up.
    """
    first = style.random(FIRST, dice).to(critic.device)
    kept = critic.score(style.read(first), FEATHER + SOFT / 2, coarse=True).topk(ROUNDS[0][1]).indices
    genes = first[kept].requires_grad_()
    adam = torch.optim.Adam([genes], lr=RATE, betas=(0.8, 0.95), maximize=True)
    running = torch.zeros(len(genes), device=critic.device)
    best = Best(genes[0].detach(), 0.0)
    judged = 0.0
    while (spent := clock()) < 1:
        count, views = next((count, views) for begin, count, views in reversed(ROUNDS) if spent >= begin)
        if count < len(genes):
            kept = running.topk(count).indices
            state = {name: value[kept] if value.dim() else value for name, value in adam.state[genes].items()}
            genes, running = genes.detach()[kept].requires_grad_(), running[kept]
            adam = torch.optim.Adam([genes], lr=RATE, betas=(0.8, 0.95), maximize=True)
            adam.state[genes] = state
        adam.param_groups[0]["lr"] = RATE * min(1.0, 1.5 * (1 - spent) + 0.05)
        soft = SOFT * (1 - min(1.0, spent / 0.6))
        seen, feather = critic.views(style.read(genes, mixing=max(0.05, 1 - spent / 0.7)), views, dice)
        adam.zero_grad()
        coarse = spent < FINE_FROM
        scores = critic.ascend(seen, feather + soft, SIDES[not coarse], coarse)
        adam.step()
        with torch.no_grad():  # what is stuck gets loose
            genes += SHAKEN * (1 - spent) ** 2 * torch.randn(genes.shape, generator=dice).to(genes)
        running = 0.9 * running + 0.1 * scores.view(-1, views).mean(1)
        if spent - judged > JUDGED_EVERY:
            judged = spent
            best = _better(critic, style, genes.detach()[running.argmax()], best)
        yield best
    yield _better(critic, style, genes.detach()[running.argmax()], best)


def _better(critic: Critic, style: Style, genes: Tensor, best: Best) -> Best:
    confidence = float(critic.judge(style, genes[None]).exp())
    return Best(genes.clone(), confidence) if confidence > best.confidence else best


METHODS: dict[str, Method] = {"gradient": gradient, "evolve": evolve, "search": search}
