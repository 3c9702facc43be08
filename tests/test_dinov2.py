"""DINOv2: the authors' files, fetched from a server, do here what they do in the paper."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet import backbones, dinov2
from beautynet.errors import BeautyError

WIDTH = 24


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Tensor]]:
    """Weights under the authors' names, of a narrow network, and a server that has them."""
    monkeypatch.setattr(dinov2, "WIDTH", WIDTH)
    torch.manual_seed(0)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + 37**2, WIDTH),
        "mask_token": (1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for block in (f"blocks.{i}." for i in range(12)):
        for name, out, into in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"{block}{name}.weight": (out, into), f"{block}{name}.bias": (out,)}
        names = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma")
        shapes |= {block + name: (WIDTH,) for name in names}
    weights = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    head = {"weight": torch.randn(1000, 2 * WIDTH), "bias": torch.randn(1000)}
    site = tmp_path / "site"
    site.mkdir()
    torch.save(weights, site / dinov2.WEIGHTS)
    torch.save(head, site / dinov2.HEAD)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(dinov2, "URL", f"http://127.0.0.1:{server.server_port}/")
        yield weights | {f"head.{name}": value for name, value in head.items()}
        server.shutdown()


def by_the_paper(x: Tensor, w: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Normalised pictures (N, 3, 224, 224) -> logits, and the tokens after each layer."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    grid = w["pos_embed"][:, 1:].transpose(1, 2).reshape(1, WIDTH, 37, 37)
    grid = F.interpolate(grid, scale_factor=16.1 / 37, mode="bicubic").flatten(2).transpose(1, 2)
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], 14).flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + torch.cat([w["pos_embed"][:, :1], grid], 1)
    after = []
    for block in (f"blocks.{i}." for i in range(12)):
        n, tokens, _ = x.shape
        qkv = linear(norm(x, block + "norm1"), block + "attn.qkv").reshape(n, tokens, 3, dinov2.HEADS, -1)
        mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).flatten(2)
        x = x + w[block + "ls1.gamma"] * linear(mixed, block + "attn.proj")
        inner = F.gelu(linear(norm(x, block + "norm2"), block + "mlp.fc1"))
        x = x + w[block + "ls2.gamma"] * linear(inner, block + "mlp.fc2")
        after.append(x)
    x = norm(x, "norm")
    return linear(torch.cat([x[:, 0], x[:, 1:].mean(1)], 1), "head"), after


def test_as_in_the_paper(theirs: dict[str, Tensor], crops: Tensor, capfd: pytest.CaptureFixture[str]) -> None:
    assert "dinov2" not in backbones.here()
    backbone = backbones.load("dinov2")
    assert "dinov2" in backbones.here()
    said = capfd.readouterr()
    assert "Downloading" in said.err
    assert not said.out
    pictures = F.interpolate(crops[:2], (224, 224), mode="bilinear")
    seen = backbone.see(pictures, maps=True)
    logits, after = by_the_paper((pictures + backbone.shift) / backbone.scale, theirs)
    assert torch.allclose(seen.logits, logits, atol=1e-3, rtol=1e-3)
    assert seen.features.shape == (2, 2 * WIDTH)
    assert [m.shape for m in seen.maps] == 5 * [(2, WIDTH, 16, 16)]
    for found, layer in zip(seen.maps, dinov2.STAGES, strict=True):
        assert torch.allclose(found.flatten(2).mT, after[layer - 1][:, 1:], atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("theirs")
def test_what_classifiers_and_drawings_ask_of_it(crops: Tensor) -> None:
    backbone = backbones.load("dinov2")
    late = backbone.late
    assert {name.split(".")[0] for name in late} == {"stages", "norm"}
    assert {name.split(".")[1] for name in late if name.startswith("stages.")} == {"4"}
    pictures = crops[:1, :, :100, :100].clone().requires_grad_()
    seen = backbone.look(pictures, maps=True)
    (gradient,) = torch.autograd.grad(seen.features.sum(), seen.maps[-1], retain_graph=True)
    assert gradient.abs().sum() > 0
    assert torch.autograd.grad(backbone.logits(pictures)[0, 7], pictures)[0].abs().sum() > 0


@pytest.mark.usefixtures("theirs")
def test_exported_it_takes_any_number_of_pictures(crops: Tensor) -> None:
    network = backbones.load("dinov2").network
    shapes = ({0: torch.export.Dim("pictures")},)
    with torch.no_grad():
        exported = torch.export.export(network, (torch.zeros(2, 3, 224, 224),), dynamic_shapes=shapes).module()
        pictures = F.interpolate(crops[:3], (224, 224))
        assert torch.allclose(exported(pictures), network(pictures), atol=1e-4)


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("damage", [b"", b"no weights", None])
def test_damaged_files_are_one_line(damage: bytes | None, tmp_path: Path) -> None:
    backbones.load("dinov2")
    file = tmp_path / "cache" / "hub" / "checkpoints" / dinov2.WEIGHTS
    file.write_bytes(file.read_bytes()[:5000] if damage is None else damage)
    with pytest.raises(BeautyError, match=r"weights of dinov2 .* a damaged file in .*checkpoints has to be deleted"):
        backbones.load("dinov2")
    file.unlink()
    backbones.load("dinov2")


@pytest.mark.usefixtures("theirs")
def test_nobody_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dinov2, "URL", "http://127.0.0.1:9/")
    with pytest.raises(BeautyError, match=r"cannot fetch the weights of dinov2"):
        backbones.load("dinov2")
