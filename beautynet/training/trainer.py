"""A generator and its discriminator, and how they learn (pix2pix; Isola et al. 2016): one step after the other.

What surrounds the steps (the budget, saves, samples, the log) is the train verb's. The learning rate follows
`Progress.fraction`, what is spent of the budget, the moving average the images seen. Where colours are borrowed, the
second half practises on made-up scenes, too, which nobody has a photo of: a street is as unlike flowers. So it does,
whatever is shown, where there are everyday pictures to practise on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beautynet import checkpoint as checkpoints
from beautynet.backbones import Eyes
from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.console import console, status
from beautynet.datasets.dataset import Photos
from beautynet.devices import autocast, layout, placed
from beautynet.errors import OUT_OF_MEMORY, BeautyError
from beautynet.networks import GROUPS, GROUPS_BEFORE, PRESETS, Discriminator, Generator, depth_for
from beautynet.replay import Replay
from beautynet.training import losses
from beautynet.training.scenes import scenes

T = TypeVar("T")
LENDERS, DULL = 128, 0.2
"""So many training photos lend their colours to what will be painted, but for that share of them, the dullest."""
SCENES, PRACTICE_FROM, PRACTICE_SHARE = 256, 0.5, 0.25
"""So many made-up scenes there are to practise on; after that share of the budget, they are that share of a step."""


@dataclass
class Progress:
    """How far a run is. Saved with the state: time is state."""

    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    samples: int = 0

    def fraction(self, config: TrainConfig) -> float:
        """Share of the budget that is spent, 0..1."""
        spent = self.steps / config.steps if config.steps else self.seconds / (config.minutes * 60)
        return min(1.0, spent)


class Trainer:
    """Both networks, and what they have learnt so far."""

    def __init__(self, config: TrainConfig, device: torch.device, groups: int = GROUPS, mixes: bool = True) -> None:
        """Networks that know nothing; `groups` in the generator's norm, and whether the discriminator mixes scales."""
        self.config, self.device = config, device
        assert config.batch
        assert config.preset  # for_device has filled them in
        self.batch = config.batch
        self.progress = Progress()
        self.condition = Condition(
            config.condition, abstraction=config.abstraction, size=config.size, k=config.k, palette=config.palette
        )
        self.exercises = Photos(scenes(SCENES, config.size, config.seed) if config.scenes else [], device)
        """What nobody has a photo of: made-up scenes, and everyday pictures."""
        self._epoch, self._order = -1, list[int]()
        torch.manual_seed(config.seed)
        there = placed(device)
        self.generator = Generator(PRESETS[config.preset], depth_for(config.size), groups).to(**there)
        self.eyes = Eyes().to(**there)
        self.discriminator = Discriminator(self.eyes.channels, mixes=mixes).to(**there)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [self._adam(self.generator), self._adam(self.discriminator)]
        self.paint: Callable[[Tensor], Tensor] = self.generator
        self.look: Callable[[Tensor], list[Tensor]] = self.eyes
        self.learn = Replay(self._learn, device) if device.type == "cuda" else self._learn
        # first in the queue: it is many small things, and the networks are few large ones
        self.ahead = torch.cuda.Stream(device, -1) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.last: torch.cuda.Event | None = None
        """When the last step is done on a GPU."""

    @classmethod
    def resumed(cls, config: TrainConfig, device: torch.device, state: dict[str, Any], folder: Path) -> Trainer:
        """Go on from the `state` that `folder` has. Raises BeautyError where its networks are other ones."""
        mixes = any(name.startswith("mixing.") for name in state["discriminator"])
        trainer = cls(config, device, int(state.get("groups", GROUPS_BEFORE)), mixes)
        try:
            trainer.generator.load_state_dict(state["generator"])
            trainer.discriminator.load_state_dict(state["discriminator"])
            trainer.average.load_state_dict(state["average"])
            for optimiser, saved in zip(trainer.optimisers, state["optimisers"], strict=True):
                settings = optimiser.state_dict()["param_groups"]  # those of this device
                optimiser.load_state_dict({**saved, "param_groups": settings})
        except (RuntimeError, ValueError) as error:
            raise BeautyError(f"{folder} was begun by a beautynet with other networks: --name for a new run") from error
        trainer.progress = Progress(**state["progress"])
        trainer.batch = state.get("batch", trainer.batch)  # less than asked for, where the memory did not do
        return trainer

    @classmethod
    def tuning(cls, config: TrainConfig, device: torch.device, model: Path) -> Trainer:
        """Start with the networks of another run (fine-tuning); of a model by itself with that.

        Raises BeautyError where its generator does not fit.
        """
        other, _ = checkpoints.load_generator(model)
        trainer = cls(config, device, other.groups)
        for network in (trainer.generator, trainer.average):
            checkpoints.fill(network, other.state_dict(), model)
        if model.name == checkpoints.MODEL:
            with suppress(BeautyError):  # damaged: it is missed little
                known = (checkpoints.load_state(model.parent) or {}).get("discriminator", {})
                if _shapes(known) == _shapes(trainer.discriminator.state_dict()):  # not one that looked otherwise
                    trainer.discriminator.load_state_dict(known)
        return trainer

    def state(self) -> dict[str, Any]:
        """What `resumed` takes."""
        return {
            "config": asdict(self.config),
            "progress": asdict(self.progress),
            "batch": self.batch,
            "groups": self.generator.groups,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        recorded = self.device.type == "cuda"  # then the rate has to be where the recording finds it
        return torch.optim.Adam(
            _trainable(network),
            lr=torch.tensor(self.config.learning_rate, device=self.device) if recorded else self.config.learning_rate,
            betas=(0.5, 0.99),
            fused=self.device.type != "mps",
            capturable=recorded,
        )

    def meet(self, photos: Photos, everyday: Photos | None = None) -> None:
        """The photos to learn from lend their colours; everyday pictures are practised on as much as scenes are."""
        if everyday is not None:
            times = max(1, round(len(self.exercises) / len(everyday)))
            self.exercises.pictures += everyday.pictures * times
        self.condition = self.condition.lent_by(photos.centres(self.config.size, most=LENDERS), DULL)

    def step(self, photos: Photos) -> dict[str, Tensor]:
        """One step of both networks; where the memory does not do for it, with half the batch from here on.

        Returns the losses, on the device: `d` and `g` are what discriminator and generator minimise, `g` made up of
        `adversarial`, `perceptual`, `texture`, `l1` and, of made-up scenes, `scenes`. `real` and `fake` are the shares
        of photos and paintings that the discriminator is right about. Raises BeautyError where one photo is too many.
        """
        return self._that_fits(lambda: self._step(photos))

    def _step(self, photos: Photos) -> dict[str, Tensor]:
        config, progress = self.config, self.progress
        random = Random(f"{config.seed} {progress.steps}")  # a step knows its own dice: nothing to save for a resume
        torch.manual_seed(random.getrandbits(63))
        shown, made_up, photo = self.pairs(photos, random)
        rate = config.learning_rate * min(1.0, 2 * (1 - progress.fraction(config)))
        for optimiser in self.optimisers:
            group = optimiser.param_groups[0]
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        if isinstance(self.learn, Replay) and self.learn.inputs and len(self.learn.inputs[1]) != len(made_up):
            self.learn.forget()  # what was recorded before practice never comes again, and holds a step's memory
        figures = self.learn(shown, made_up, photo)
        progress.steps += 1
        progress.images += len(photo)
        self._follow()
        if self.ahead is not None:
            # no more than one step ahead of the GPU, or what the clock says would be of long before
            before, self.last = self.last, torch.cuda.current_stream(self.device).record_event()
            if before is not None:
                before.synchronize()
        return figures

    def pairs(self, photos: Photos, random: Random) -> tuple[Tensor, Tensor, Tensor]:
        """What this step shows of photos, of scenes, and the photos: (N - S, 3, size, size), S, and N of them."""
        if self.ahead is None:
            return self._crops(photos, random)
        # beside it, so that they are ready when the step before has been learnt from
        now = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.ahead):
            pairs = self._crops(photos, random)
        now.wait_stream(self.ahead)
        for each in pairs:
            each.record_stream(now)
        return pairs

    def _crops(self, photos: Photos, random: Random) -> tuple[Tensor, Tensor, Tensor]:
        photo = photos.crops(self._indices(len(photos)), self.config.size, random)
        photo = photo.contiguous(memory_format=layout(self.device))
        recipe = self.condition.randomised(random)
        practises = self.config.scenes and self.progress.fraction(self.config) >= PRACTICE_FROM
        count = int(PRACTICE_SHARE * len(photo) + 0.5) if practises else 0
        if not count:
            shown, _ = recipe(photo)
            return shown, shown[:0], photo
        paired = len(photo) - count
        drawn = self.exercises.crops(random.choices(range(len(self.exercises)), k=count), self.config.size, random)
        shown, memory = recipe(torch.cat([photo[:paired], drawn]))
        made_up = self.condition.lend(shown, memory)[paired:]  # as everyday pictures will be shown
        return shown[:paired], made_up, photo

    def _learn(self, shown: Tensor, made_up: Tensor, photo: Tensor) -> dict[str, Tensor]:
        """Both networks learn from what `pairs` gives. Returns the losses, on the device."""
        config, count = self.config, len(shown)
        everything = _beside(shown, made_up)
        unpaired = torch.zeros_like(everything)
        adam_g, adam_d = self.optimisers
        with autocast(self.device), parametrize.cached():  # one spectral norm for both looks
            painted = self.paint(everything)
            known, seen = self.look(photo), self.look(painted)
            wanted, features = [maps[:count] for maps in known], [maps[:count] for maps in seen]
            real, fake = self.discriminator(everything[:count], wanted, features)
            # the discriminator tells photo from painting; the generator convinces it, and stays near the photo
            loss_d = losses.discriminator_hinge(real, fake)
            convince = losses.generator_hinge(fake)
            unlike = losses.perceptual(wanted, features)
            texture = losses.texture(wanted, features)
            l1 = (painted[:count] - photo[:count]).abs().mean()
            loss_g = convince + config.perceptual * unlike + config.texture * texture + config.l1 * l1
            practice = torch.zeros_like(l1)
            if len(made_up):
                # nobody knows how a made-up scene would look: it has but to look like some photo, whatever was shown,
                # with no more grain than paintings of photos have
                assert config.scenes
                (photos,) = self.discriminator(unpaired, known)
                dreamt = [maps[count:] for maps in seen]
                (dreams,) = self.discriminator(unpaired[count:], dreamt)
                practice = losses.generator_hinge(dreams) + config.texture * losses.restraint(features, dreamt)
                loss_d = loss_d + config.scenes * losses.discriminator_hinge(photos, dreams)
                loss_g = loss_g + config.scenes * practice
        # Both learn from one look at each picture (simultaneous gradient descent), where taking turns costs a second
        # look at the painting; neither's loss reaches into the other.
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_d, inputs=_trainable(self.discriminator), retain_graph=True)
        torch.autograd.backward(loss_g, inputs=_trainable(self.generator))
        adam_d.step()
        adam_g.step()
        return {
            "d": loss_d.detach(),
            "g": loss_g.detach(),
            "adversarial": convince.detach(),
            "perceptual": unlike.detach(),
            "texture": texture.detach(),
            "scenes": practice.detach(),
            "l1": l1.detach(),
            "real": torch.stack([(scores > 0).float().mean() for scores in real]).mean(),
            "fake": torch.stack([(scores < 0).float().mean() for scores in fake]).mean(),
        }

    def compile(self, photos: Photos) -> None:
        """Have torch make code of the generator and the eyes for this GPU; where it cannot, all stays as it was."""

        def tried() -> None:
            shown, made_up, photo = self.pairs(photos, Random(0))
            with autocast(self.device):
                unlike = losses.perceptual(self.look(photo), self.look(self.paint(_beside(shown, made_up))))
            torch.autograd.backward(unlike, inputs=_trainable(self.generator))

        try:
            self.paint, self.look = (torch.compile(network, dynamic=False) for network in (self.generator, self.eyes))
            with status("making code for this GPU, which takes about a minute"):
                self._that_fits(tried)
        except BeautyError:
            raise
        except Exception as error:  # torch's, triton's, a missing C compiler's: they have no class in common
            self.paint, self.look = self.generator, self.eyes
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            complaint = f"training takes longer, as no code could be made for this GPU ({reason})"
            console.print(complaint, style="yellow")

    def score(self, shown: Tensor, pictures: Tensor) -> Tensor:
        """How real the discriminator thinks that pictures (N, 3, H, W) of these conditions are: their mean score."""
        self.discriminator.eval()  # in training every look moves its spectral norm's estimate on
        try:
            (scores,) = self.discriminator(shown, self.eyes(pictures))
        finally:
            self.discriminator.train()
        return -losses.generator_hinge(scores)

    def _indices(self, count: int) -> list[int]:
        """The photos of this step: each epoch is its own shuffle of all of them."""
        first = self.progress.images
        return [self._shuffled(i // count, count)[i % count] for i in range(first, first + self.batch)]

    def _shuffled(self, epoch: int, count: int) -> list[int]:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, Random(f"{self.config.seed} epoch {epoch}").sample(range(count), count)
        return self._order

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the generator; its half-life grows with a young run (StyleGAN2-ADA's ramp-up)."""
        half_life = min(self.config.ema_images, max(1.0, 0.1 * self.progress.images))
        weight = 1 - 0.5 ** (self.batch / half_life)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight)

    def _that_fits(self, work: Callable[[], T]) -> T:
        """What `work` returns; it is called again with half the batch where the memory does not do for it."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not isinstance(error, torch.OutOfMemoryError) and not OUT_OF_MEMORY.search(str(error)):
                    raise
                if self.batch == 1:
                    raise BeautyError("out of memory at batch 1: try a smaller --size or --preset") from error
            # out here nothing holds the step's tensors any more
            self.batch //= 2
            if isinstance(self.learn, Replay):
                self.learn.forget()
            for optimiser in self.optimisers:
                optimiser.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            without = ", which have no room for practice" if self.batch == 1 and self.config.scenes else ""
            console.print(f"out of memory: going on with batches of {self.batch}{without}", style="yellow")


def _beside(*shown: Tensor) -> Tensor:
    return torch.cat(shown).contiguous(memory_format=layout(shown[0].device))


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights of a network that are not frozen."""
    return [weight for weight in network.parameters() if weight.requires_grad]
