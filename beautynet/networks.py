"""The two networks of pix2pix (Isola et al. 2016), with what removes its artefacts.

Generator: a U-Net whose every convolution pads by repeating the edge (zeros tell the network where it is in the frame)
and which enlarges by interpolation (transposed convolutions leave checkerboards; Odena et al. 2016).
Discriminator: PatchGANs on what frozen eyes see of a picture, at several scales (Sauer et al. 2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

PRESETS = {"S": 24, "M": 64, "L": 96}
"""Channels of the generator at half resolution; they double down to eighth resolution and deeper. S runs in real time
on a laptop and is the default on a CPU, M on a GPU; what L is worth is still to be shown (docs/training.md)."""


def depth_for(size: int) -> int:
    """Number of downsamplings for squares of `size` px: down to 8 px, so that no layer sees the whole frame.

    Of over 256 px five, and of sizes that cannot be halved as often as many as can be.
    """
    depth = min(5, round(math.log2(size / 8)))
    while size % 2**depth:
        depth -= 1
    return depth


NOISE_TILE = 128
"""Side of the fixed noise that is laid out over the frame at inference."""
NOISE, FINE_NOISE = 0.3, 0.1
"""Strength of the noise before training, beside features of unit variance; the fine one at full resolution is less,
or it stays behind as grain."""


GROUPS, GROUPS_BEFORE = 1, 8
"""Groups of channels in the generator's norm; and in those of before 2026-11-26, which say nothing of it."""


class Generator(nn.Module):
    """U-Net: condition (N, 3, H, W) -> picture (N, 3, H, W), both in [-1, 1]; H and W are multiples of `multiple`.

    `groups` are those of its norm; ValueError where channels cannot be shared out so.
    """

    def __init__(self, width: int = 64, depth: int = 5, groups: int = GROUPS) -> None:
        super().__init__()
        self.width, self.depth, self.groups = width, depth, groups
        last = max(16, width // 4)
        if groups < 1 or width % groups or last % groups:
            raise ValueError(f"{width} and {last} channels in {groups} groups")
        widths = [3] + [width * min(8, 2**level) for level in range(depth)]
        self.down = nn.ModuleList(
            nn.Sequential(Conv(widths[i], widths[i + 1], 4, stride=2), Norm(groups), nn.LeakyReLU(0.2))
            for i in range(depth)
        )
        self.middle = nn.Sequential(Residual(widths[-1], groups), Residual(widths[-1], groups))
        self.up = nn.ModuleList(Up(widths[i + 1], widths[i], widths[i], groups) for i in reversed(range(1, depth)))
        self.finish = Up(width, last, 0, groups)
        self.paint = Conv(last, 3, 3)

    @property
    def multiple(self) -> int:
        """Both sides of the input have to be multiples of this."""
        return int(2**self.depth)

    def forward(self, condition: Tensor, places: Tensor | None = None) -> Tensor:
        """Paint the pictures; `places` (N, 2) say how far (x, y) in px the camera had panned, where it did."""
        skips = [self.down[0](condition)]
        for down in self.down[1:]:
            skips.append(down(skips[-1]))
        x = self.middle(skips.pop())
        scale = self.multiple
        for up in self.up:
            scale //= 2
            x = up(x, skips.pop(), None if places is None else places / scale)
        return torch.tanh(self.paint(self.finish(x, None, places)).float())


def size_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The arguments that make a Generator with weights of these shapes; LookupError or ValueError for another's.

    No memory is needed to tell. Whether the other weights are its own, too, is not looked at.
    """
    depth = sum(re.fullmatch(r"down\.\d+\.0\.conv\.weight", name) is not None for name in shapes)
    channels = [3, *(shapes[f"down.{level}.0.conv.weight"][0] for level in range(depth))]
    for level in range(depth):
        if shapes[f"down.{level}.0.conv.weight"] != (channels[level + 1], channels[level], 4, 4):
            raise ValueError(f"layer {level} does not follow the one before it")
    return {"width": channels[1], "depth": depth}


def bytes_per_pixel(width: int) -> int:
    """What the generator takes to paint: measured on frames of 1920×1088 in float32 at S, M, L: 313, 547, 740."""
    return 200 + 6 * width


class Up(nn.Module):
    """Enlarge twice, join the skip, add noise, mix. The width is cut before enlarging, where it costs a quarter.

    The noise (as in StyleGAN; Karras et al. 2019) lets the network paint texture where the condition is flat: without
    it a network that does not know where in the frame it is can only answer one colour with one colour. Fresh in
    training, fixed afterwards, so that the same picture gives the same dream; where a film pans, it moves along.
    """

    tile: Tensor

    def __init__(self, inputs: int, outputs: int, skip: int, groups: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.mix = nn.Sequential(Conv(outputs + skip, outputs, 3), Norm(groups), nn.LeakyReLU(0.2))
        self.strength = nn.Parameter(torch.full((outputs,), NOISE if skip else FINE_NOISE))
        self.register_buffer("tile", torch.randn(1, 1, NOISE_TILE, NOISE_TILE))

    def forward(self, x: Tensor, skip: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """(N, C, H, W), the skip (N, C', 2H, 2W) and places (N, 2) in its px -> (N, C'', 2H, 2W)."""
        x = self.with_noise(enlarge(self.narrow(x)), places)
        mixed: Tensor = self.mix(x if skip is None else torch.cat([x, skip], dim=1))
        return mixed

    def with_noise(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """Features (N, C, H, W), each channel with its strength of the same noise added."""
        noise, strength = self.noise(x, places).to(x.dtype), self.strength.to(x.dtype)
        if _is_compiled(x):
            return x + noise * strength[:, None, None]
        # pixels × channels + noise × strength: one product, whose gradient is one too, where a sum would take five
        count, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        pixels = torch.addmm(pixels, noise.expand(count, 1, height, width).reshape(-1, 1), strength[None])
        return pixels.view(count, height, width, channels).permute(0, 3, 1, 2)

    def noise(self, x: Tensor, places: Tensor | None = None) -> Tensor:
        """Standard normal noise (N or 1, 1, H, W) for features (N, C, H, W), as it is seen from places (N, 2)."""
        height, width = x.shape[-2:]
        if self.training:
            return torch.randn(x.shape[0], 1, height, width, device=x.device)
        tile = self.tile if places is None else seen_from(places, self.tile)
        down, across = ((side + NOISE_TILE - 1) // NOISE_TILE for side in (height, width))  # ONNX rounds towards 0
        return tile.repeat(1, 1, down, across)[:, :, :height, :width]


def seen_from(places: Tensor, tile: Tensor) -> Tensor:
    """A tile (1, 1, H, W), repeated endlessly, as it begins at each of N places, in px (x, y): (N, 1, H, W).

    Between two px it is what its Fourier transform says: noise that is interpolated is weaker and softer there.
    """
    height, width = tile.shape[2:]
    across = torch.fft.rfftfreq(width, device=tile.device)
    down = torch.fft.fftfreq(height, device=tile.device)[:, None]
    x, y = places[:, 0] % width, places[:, 1] % height
    turns = 2 * math.pi * (x[:, None, None, None] * across + y[:, None, None, None] * down)
    seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(tile) * torch.polar(torch.ones_like(turns), turns), tile.shape[2:])
    return seen


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        first, second = Conv(width, width, 3), Conv(width, width, 3)
        self.body = nn.Sequential(first, Norm(groups), nn.LeakyReLU(0.2), second, Norm(groups))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), same shape out."""
        return x + self.body(x)  # type: ignore[no-any-return]


class Conv(nn.Module):
    """Convolution that pads by repeating the edge."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        nn.init.kaiming_normal_(self.conv.weight, a=0.2)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        return self.conv(pad(x, self.padding))  # type: ignore[no-any-return]


def pad(x: Tensor, p: int) -> Tensor:
    """Repeat the edge of (N, C, H, W) p px in each direction."""
    if _is_compiled(x):
        return _compiled(_Padded, x, p)
    with _as_it_is(x):
        return F.pad(x, (p, p, p, p), mode="replicate")


def _compiled(function: type[torch.autograd.Function], *given: Any) -> Tensor:
    """What a function for a compiler makes, with channels last."""
    apply: Callable[..., Tensor] = function.apply  # which torch gives no types
    return apply(*given).contiguous(memory_format=torch.channels_last)


def _at(x: Tensor, axis: int, places: Tensor) -> Tensor:
    """What lies at these places of an axis (2 or 3), or at the border where they are beyond it.

    A compiler reads it from there as it is needed, and joins that with what comes before and after.
    """
    within = places.clamp(0, x.shape[axis] - 1)
    found: Tensor = torch.ops.aten._unsafe_index(x, [None] * axis + [within])
    return found


class _Padded(torch.autograd.Function):
    """As `pad`, for a compiler."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: int) -> Tensor:
        ctx.p = p
        for axis in (2, 3):
            x = _at(x, axis, torch.arange(-p, x.shape[axis] + p, device=x.device))
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = gradients
        for axis in (2, 3):
            length = x.shape[axis] - 2 * ctx.p
            before, after = (x.narrow(axis, at, ctx.p).sum(axis, keepdim=True) for at in (0, length + ctx.p))
            place = torch.arange(length, device=x.device).view(-1, *[1] * (3 - axis))
            x = x.narrow(axis, ctx.p, length) + before * (place == 0) + after * (place == length - 1)
        return x, None


class _Enlarged(torch.autograd.Function):
    """As `enlarge`, for a compiler."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        for axis in (2, 3):
            place = torch.arange(2 * x.shape[axis], device=x.device)
            here, beside = place // 2, place // 2 + place % 2 * 2 - 1
            x = 0.75 * _at(x, axis, here) + 0.25 * _at(x, axis, beside)
        return x

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = gradients
        for axis in (2, 3):
            first = 2 * torch.arange(x.shape[axis] // 2, device=x.device)
            near, far = (_at(x, axis, first + a) + _at(x, axis, first + b) for a, b in ((0, 1), (-1, 2)))
            x = 0.75 * near + 0.25 * far
        return x


def enlarge(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), bilinear."""
    if _is_compiled(x):
        return _compiled(_Enlarged, x)
    with _as_it_is(x):
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _is_compiled(x: Tensor) -> bool:
    """Whether a compiler makes GPU code of this now.

    It would have gradients add up where they meet, one by one, for torch's own padding and interpolation. And it keeps
    channels last only where each operation does, else every convolution copies what it is given and what it gives.
    """
    return x.is_cuda and torch.compiler.is_compiling()


def _as_it_is(x: Tensor) -> torch.autocast:
    """No mixed precision, which would go to float32 and back for this."""
    return torch.autocast(x.device.type, enabled=False)


class Norm(nn.Module):
    """All channels together to zero mean and unit variance over each picture, or groups of them (Wu and He 2018).

    It knows nothing of the rest of the batch: the same in training, at inference and at any batch size. Normalising
    each pixel by itself (layer norm over channels) would not know the rest of the frame either, but forgets how strong
    a texture is: flat areas come out as grain.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), same shape out."""
        if _is_compiled(x):
            groups = torch.unflatten(x.permute(0, 2, 3, 1), 3, (self.groups, -1)).float()  # as they lie in memory
            variance, mean = torch.var_mean(groups, dim=(1, 2, 4), correction=0, keepdim=True)
            normed: Tensor = (groups - mean) * (variance + 1e-5).rsqrt()
            return normed.flatten(3).permute(0, 3, 1, 2).to(x.dtype)
        with _as_it_is(x):
            return F.group_norm(x, self.groups)


class Mixing(nn.Module):
    """What eyes see at each scale, mixed with what they see at the coarser ones (Projected GAN; Sauer et al. 2021).

    So a texture is judged by what it is part of, and in all channels at once: the few that tell most at first would be
    all that a discriminator looks at, and all that a generator gets right. The convolutions are random and stay so.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.own = nn.ModuleList(nn.Conv2d(each, each, 1, bias=False) for each in channels)
        self.coarser = nn.ModuleList(
            nn.Conv2d(below, each, 3, padding=1, bias=False) for each, below in pairwise(channels)
        )
        for convolution in (*self.own, *self.coarser):
            fan_in = convolution.weight[0].numel()
            nn.init.normal_(convolution.weight, std=fan_in**-0.5)  # the variance stays
        self.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps from fine to coarse -> as many of the same shapes."""
        mixed: list[Tensor] = []
        for level, seen in reversed(list(enumerate(maps))):
            own = self.own[level](seen)
            if mixed:
                around = self.coarser[level](mixed[-1])
                with _as_it_is(around):
                    around = F.interpolate(around, size=seen.shape[-2:], mode="bilinear", align_corners=False)
                own = (own + around) * 0.5**0.5
            mixed.append(own)
        return mixed[::-1]


class Discriminator(nn.Module):
    """PatchGANs on the condition and on features of the picture, one for each scale (Projected GAN; Sauer et al. 2021).

    The features are those of frozen eyes, which know edges, petals and fur from the first step; what is left to learn
    is which of them belong here. From pixels it takes far longer, and a generator learns to answer it with grain.
    Spectral norm (Miyato et al. 2018) bounds how fast its judgement may change. It sees them as `Mixing` leaves them;
    those of before 2026-11-27, with `mixes` off, see each scale by itself.
    """

    def __init__(self, channels: Sequence[int], width: int = 32, mixes: bool = True) -> None:
        super().__init__()
        self.mixing = Mixing(channels) if mixes else None
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(inputs + 3, width, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(width, width, 4, stride=2) if scale < 2 else nn.Conv2d(width, width, 3)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(width, 1, 1)),
            )
            for scale, inputs in enumerate(channels)
        )

    def forward(self, condition: Tensor, *pictures: Sequence[Tensor]) -> list[list[Tensor]]:
        """Condition (N, 3, H, W) in [-1, 1], features of pictures -> for each picture, maps of scores (N, 1, h, w)."""
        if self.mixing:
            pictures = tuple(self.mixing(maps) for maps in pictures)
        scores: list[list[Tensor]] = [[] for _ in pictures]
        for head, *features in zip(self.heads, *pictures, strict=True):
            first, *rest = head
            # a GPU's matrix units take channels by eights: the others are zeros there
            spare = -first.in_channels % 8 if condition.is_cuda else 0
            weight, shown = first.weight, F.adaptive_avg_pool2d(condition, features[0].shape[-2:])
            if spare:
                weight, shown = (F.pad(each, (0, 0, 0, 0, 0, spare)) for each in (weight, shown))
            shown = shown.to(features[0].dtype)
            for found, seen in zip(scores, features, strict=True):
                x = F.conv2d(torch.cat([seen, shown], dim=1), weight, first.bias)
                for layer in rest:
                    x = layer(x)
                found.append(x.float())
        return scores
