"""Now and then paints the same few photos, for what losses do not tell of a training run."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet.training.trainer import Trainer
from beautynet.translator import Translator

EXAMINE_SECONDS, EXAMINE_SHARE = 30.0, 0.005
"""Seconds between two such looks at least, and the share of the time that they may take."""
THUMBNAIL = 16
"""Side in px at which pictures are compared then: composition and colour, not grain."""
SURE = 0.5
"""A discriminator that scores photo and painting nearer than this has nothing yet that it could know by heart."""


class Examiner:
    """Looks at a trainer's average; asked too early, it has what it found before."""

    def __init__(self, trainer: Trainer, seen: Tensor, unseen: Tensor) -> None:
        """`seen` and `unseen`: photos trained on, and held out, (N, 3, size, size) in [-1, 1]."""
        self.trainer, self.count = trainer, len(seen)
        self.photos = torch.cat([seen, unseen])
        self.shown = [trainer.condition.own(photo)[0] for photo in self.photos[:, None]]
        self.found: dict[str, float] = {}
        self.due = 0.0

    def __call__(self) -> dict[str, float]:
        """The newest figures; under two photos there are none.

        `seen`, `unseen`: how far pictures are from their own photo, as a share of how far from the other photos, for
        photos trained on and held out. 1: swapping the conditions would change nothing; 0: a copy.
        `variety`: how far pictures are from each other, as a share of how far photos are. 0: all alike.
        `by_heart`: how much of the lead that a photo has over its painting, in the discriminator's eyes, is gone where
        the photo was held out (after r_v of StyleGAN2-ADA; Karras et al. 2020). 0: nothing; 1: it cannot tell them.
        """
        began = time.monotonic()
        if began >= self.due and len(self.photos) > 1:
            self.due = began + EXAMINE_SECONDS  # whether there is memory for a look or not
            self.found = self._examine()
            self.due = began + max(EXAMINE_SECONDS, (time.monotonic() - began) / EXAMINE_SHARE)
        return self.found

    @torch.no_grad()
    def _examine(self) -> dict[str, float]:
        translator = Translator(self.trainer.average, self.trainer.condition, self.trainer.device)
        painted = torch.cat([translator.paint(shown) for shown in self.shown])
        own, others = _distances(painted, self.photos)
        share = own / others.clamp_min(1e-6)
        unlike = [_distances(pictures, pictures)[1].mean() for pictures in (painted, self.photos)]
        found = {"seen": share[: self.count].mean(), "variety": unlike[0] / unlike[1].clamp_min(1e-6)}
        if self.count < len(self.photos):
            photo, painting = (
                torch.stack([self.trainer.score(*pair) for pair in zip(self.shown, those, strict=True)])
                for those in (self.photos[:, None], painted[:, None])
            )
            lead = photo - painting
            known, unknown = lead[: self.count].mean(), lead[self.count :].mean()
            found |= {"unseen": share[self.count :].mean(), "by_heart": (known - unknown) / known.clamp_min(SURE)}
        return {name: value.item() for name, value in found.items()}


def _distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance of each of N pictures to its fellow in N others, and to the rest of them, on small copies: (N,)."""
    a, b = (F.adaptive_avg_pool2d(batch, THUMBNAIL).flatten(1) for batch in (a, b))
    between = torch.cdist(a, b, p=1) / a.shape[1]
    own = between.diagonal()
    return own, (between.sum(1) - own) / (len(a) - 1)
