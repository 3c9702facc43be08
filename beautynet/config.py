"""Every setting of a training run, declared once: its default, unit and help.

The command line's options, the checkpoint's header and docs/training.md's table are made from these fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Real
from operator import index
from typing import Any

from beautynet.errors import UsageError

CONDITION_NAMES = ("clusters", "edges", "blur")
PALETTE_NAMES = ("borrowed", "ranked", "mean")
PRESET_NAMES = ("S", "M", "L")
STEADY = 0.92
"""How much of a film's dream is the one before it, where that fits."""


def setting(
    default: Any,
    help: str,
    choices: tuple[str, ...] | None = None,
    least: float | None = None,
    most: float | None = None,
    over: float | None = None,
    may_change: bool = False,
) -> Any:
    """A field with its help, and what it may be: one of `choices`, or `least` to `most`, or more than `over`.

    `may_change`: a resumed run may have another value than it was started with.
    """
    limits = {"choices": choices, "least": least, "most": most, "over": over}
    return field(default=default, metadata={"help": help, "may_change": may_change, **limits})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run."""

    minutes: float = setting(
        120.0,
        "How long to train, all sessions of a run together, from start to the last file.",
        over=0,
        may_change=True,
    )
    steps: int | None = setting(
        None, "Train for so many steps, of --batch photos each, instead of a time.", least=1, may_change=True
    )
    size: int = setting(  # the eyes see a sixteenth of it
        256, "Side in px of the squares that the network trains on: 64 to 2048, a multiple of 8.", least=64, most=2048
    )
    preset: str | None = setting(
        None, "Size of the networks; by default S on a CPU, M on a GPU; L is the largest.", PRESET_NAMES
    )
    condition: str = setting("clusters", "What the network is shown instead of the photo.", CONDITION_NAMES)
    abstraction: float = setting(0.6, "0..1: how little of the photo the condition keeps.", least=0, most=1)
    k: int | None = setting(None, "Clusters; by default 7, more or fewer with the abstraction.", least=2, most=32)
    palette: str = setting(
        "borrowed", "Cluster colours: a training photo's, fixed ones by luminance, or each one's mean.", PALETTE_NAMES
    )
    batch: int | None = setting(
        None, "Photos in a step; by default 4 on a CPU, 8 on an Apple GPU, 32 on others.", least=1
    )
    learning_rate: float = setting(7e-4, "Adam's, falling to 0 over the second half.", over=0)
    l1: float = setting(5.0, "Weight of the L1 loss; high is safe and grey.", least=0)
    perceptual: float = setting(10.0, "Weight of the perceptual loss; high is smooth.", least=0)
    texture: float = setting(5.0, "Weight of the texture loss; high is sharp and grainy.", least=0)
    scenes: float | None = setting(
        None,
        "Weight of practice on made-up scenes; by default 1 in borrowed colours and with --practice, else 0.",
        least=0,
    )
    ema_images: int = setting(
        5000, "The network that is kept is an average over training: its half-life, in photos seen.", least=1
    )
    save_every: float = setting(60.0, "Seconds between saves.", least=0, may_change=True)
    seed: int = setting(0, "Same seed and steps, same network (on a CPU).")

    def __post_init__(self) -> None:
        """Refuse what will not do."""
        for f in fields(self):
            value, choices = getattr(self, f.name), f.metadata["choices"]
            option = f"--{f.name.replace('_', '-')}"
            if "int" in str(f.type) and value is not None:  # numpy's become Python's, which a header can hold
                try:
                    value = index(value)
                except TypeError:
                    raise UsageError(f"{option} {value!r} will not do: it has to be a whole number") from None
            elif isinstance(value, Real) and not isinstance(value, int | float):
                value = float(value)
            object.__setattr__(self, f.name, value)
            if choices and value not in choices and value != f.default:
                raise UsageError(f"{f.name} {value!r} is not one of {', '.join(choices)}")
            least, most, over = (f.metadata[name] for name in ("least", "most", "over"))
            if value is None or (least is None and over is None):
                continue
            limits = f"over {over}" if least is None else f"at least {least}" if most is None else f"{least}..{most}"
            if not (value > over if least is None else least <= value <= (math.inf if most is None else most)):
                raise UsageError(f"{option} {value} will not do: it has to be {limits}")
        if self.size % 8:
            raise UsageError(f"--size {self.size} will not do: it has to be a multiple of 8")

    def for_device(self, device: str) -> TrainConfig:
        """The same with what depends on other settings and on the device ("cpu", "cuda", "mps") filled in."""
        if device == "mps" and self.size % 16:  # torch pools there by whole numbers only
            raise UsageError(f"--size {self.size} will not do on this device: it has to be a multiple of 16")
        slow = device == "cpu"
        borrows = (self.condition, self.palette) == ("clusters", "borrowed")
        return replace(
            self,
            batch=self.batch or {"cpu": 4, "mps": 8}.get(device, 32),
            preset=self.preset or ("S" if slow else "M"),
            scenes=(1.0 if borrows else 0.0) if self.scenes is None else self.scenes,
        )

    def differences(self, earlier: dict[str, Any]) -> Iterator[str]:
        """What a resumed run may not change but does, one `name: earlier, now` each."""
        now = asdict(self)
        for f in fields(self):
            if not f.metadata["may_change"] and f.name in earlier and earlier[f.name] != now[f.name]:
                yield f"{f.name}: {earlier[f.name]} then, {now[f.name]} now"
