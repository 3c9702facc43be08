"""DINOv2 (Oquab et al. 2023): a vision transformer that learnt from pictures without labels, with a linear head on it.

By Stein et al. (2023) it judges generated pictures more as people do than what has learnt ImageNet's classes. ViT-S/14
and its head for these classes, both by its authors, Apache-2.0; put together from torchvision's layers, so that no code
is fetched.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beautynet.console import console

URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/"
WEIGHTS, HEAD = "dinov2_vits14_pretrain.pth", "dinov2_vits14_linear_head.pth"
SIZE, PATCH, WIDTH, HEADS = 224, 14, 384, 6
SIDE = SIZE // PATCH
STAGES = (2, 4, 6, 9, 12)
"""Its maps are what the patches are after so many of its twelve layers."""


class Plane(nn.Module):
    """Tokens (N, 1 + P, C), of which the first is of the whole picture -> a map of the others (N, C, h, w)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Nothing is computed."""
        return tokens[:, 1:].mT.reshape(-1, WIDTH, SIDE, SIDE)


class Stage(nn.Module):
    """Some layers, and what they make as a map, which is also what is gone on with: gradients reach it."""

    def __init__(self, layers: int) -> None:
        from torchvision.models.vision_transformer import EncoderBlock  # type: ignore[import-untyped]

        super().__init__()
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.layers = nn.Sequential(*(EncoderBlock(HEADS, WIDTH, 4 * WIDTH, 0.0, 0.0, norm) for _ in range(layers)))
        self.plane = Plane()

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 1 + P, C) -> the same shape."""
        tokens = self.layers(tokens)
        return torch.cat([tokens[:, :1], self.plane(tokens).flatten(2).mT], 1)


class DINOv2(nn.Module):
    """Normalised pictures (N, 3, H, W) -> the logits of ImageNet's classes, (N, 1000). Knows nothing yet."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.whole = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(torch.zeros(1, 1 + SIDE**2, WIDTH))
        stages = [Stage(end - begin) for begin, end in pairwise((0, *STAGES))]
        self.stages = nn.Sequential(*stages)
        self.planes = [stage.plane for stage in stages]
        """Whose outputs are its maps."""
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(2 * WIDTH, 1000)

    def forward(self, pictures: Tensor) -> Tensor:
        """What goes into the head are the token of the whole and the mean of the patches, (N, 768)."""
        if pictures.shape[2:] != (SIZE, SIZE):
            pictures = F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)
        patches = self.patches(pictures).flatten(2).mT
        tokens = torch.cat([self.whole.expand(patches.shape[0], -1, -1), patches], 1) + self.places
        tokens = self.norm(self.stages(tokens))
        logits: Tensor = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
        return logits


def pretrained() -> DINOv2:
    """With the authors' weights, 91 MB to download. OSError where they cannot be had; torch's own of broken ones."""
    network = DINOv2()
    how: dict[str, Any] = {"map_location": "cpu", "progress": console.is_terminal, "weights_only": True}
    weights, head = (torch.hub.load_state_dict_from_url(URL + name, **how) for name in (WEIGHTS, HEAD))
    network.load_state_dict({**converted(weights), **{f"head.{name}": value for name, value in head.items()}})
    return network


def converted(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' weights by our names, with the scale of each branch folded into the layer before it."""
    grid = theirs["pos_embed"][:, 1:].mT.reshape(1, -1, 37, 37)  # of the 518 px that it saw last
    places = F.interpolate(grid, scale_factor=(SIDE + 0.1) / 37, mode="bicubic").flatten(2).mT  # as the authors do
    ours = {
        "patches.weight": theirs["patch_embed.proj.weight"],
        "patches.bias": theirs["patch_embed.proj.bias"],
        "whole": theirs["cls_token"],
        "places": torch.cat([theirs["pos_embed"][:, :1], places], 1),
        "norm.weight": theirs["norm.weight"],
        "norm.bias": theirs["norm.bias"],
    }
    names = {
        "norm1.": "ln_1.",
        "attn.qkv.": "self_attention.in_proj_",
        "attn.proj.": "self_attention.out_proj.",
        "norm2.": "ln_2.",
        "mlp.fc1.": "mlp.0.",
        "mlp.fc2.": "mlp.3.",
    }
    scales = {"attn.proj.": "ls1.gamma", "mlp.fc2.": "ls2.gamma"}
    for stage, (begin, end) in enumerate(pairwise((0, *STAGES))):
        for layer in range(begin, end):
            for name, our_name in names.items():
                for kind in ("weight", "bias"):
                    value = theirs[f"blocks.{layer}.{name}{kind}"]
                    if name in scales:
                        scale = theirs[f"blocks.{layer}.{scales[name]}"]
                        value = value * (scale[:, None] if kind == "weight" else scale)
                    ours[f"stages.{stage}.layers.{layer - begin}.{our_name}{kind}"] = value
    return ours
