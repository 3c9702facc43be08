"""What many tests stand on: crops of scikit-learn's two photos, as a batch and as a dataset, and a small checkpoint."""

import functools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads leave the cores to others while they wait
import torch
from browser import missing
from PIL import Image
from sklearn.datasets import load_sample_image, load_sample_images
from torch import Tensor

from beautynet import backbones, images
from beautynet import checkpoint as checkpoints
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier
from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.datasets.dataset import Photos
from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.networks import PRESETS, Generator, depth_for
from beautynet.training import trainer
from beautynet.training.trainer import Progress
from beautynet.web.browser_runtime import runtime


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Ctrl-C works, even where the tests were started with it ignored (in the background of a script)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def scenes_are_made_once() -> Iterator[None]:
    """Those of a size and a seed, which are always the same, and a third of the time of a run of few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "scenes", functools.cache(trainer.scenes))
        yield


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch computes in two threads, whatever it does in other tests: in `make test` in one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def crops() -> Tensor:
    """12 crops, (12, 3, 192, 192) in [-1, 1]."""
    return torch.cat(
        [
            images.to_tensor(photo[top : top + 192, left : left + 192])
            for photo in load_sample_images().images
            for top in (0, 235)
            for left in (0, 224, 448)
        ]
    )


@pytest.fixture
def photos(crops: Tensor, tmp_path: Path) -> Path:
    """The crops as a dataset: a folder of photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(images.to_uint8(crops)):
        Image.fromarray(picture).save(folder / f"{i:02d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a small network that has learnt nothing."""
    config = TrainConfig(preset="S", size=80)
    torch.manual_seed(0)
    recipe = Condition(config.condition, abstraction=config.abstraction, size=config.size, palette=config.palette)
    flower = images.to_tensor(load_sample_image("flower.jpg")[::8, ::8])
    header = {
        "condition": asdict(recipe.lent_by([flower, flower.flip(1)])),
        "config": asdict(config),
        "progress": asdict(Progress(steps=3, images=24, seconds=60.0)),
        "dataset": "flowers",
        "photos": 12,
        "trained_on": "cpu",
    }
    path = tmp_path_factory.mktemp("checkpoints") / "small" / checkpoints.MODEL
    checkpoints.save_model(path, Generator(PRESETS[config.preset], depth_for(config.size)), header)
    return path


@pytest.fixture(scope="session")
def ort_web() -> None:
    """onnxruntime-web's files, from the cache or the network, and what writes ONNX."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    try:
        runtime()
    except BeautyError as error:
        missing(f"needs onnxruntime-web: {error}")


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a classifier that has learnt nothing; its labels are what people write."""
    lite = backbones.load()
    weight = np.random.default_rng(0).normal(0, 0.01, (3, 2 * sum(classifier.widths(lite)))).astype(np.float32)
    header = {"several": False, "backbone": "efficientnet-lite0", "trained_on": {}, "scores": {}, "head": {}}
    path = tmp_path_factory.mktemp("classifiers") / "rose" / checkpoints.CLASSIFIER.file
    path.parent.mkdir()
    Classifier(lite, ["a rose", "<i>é</i>/b", "other"], weight, np.zeros(3, np.float32), header).save(path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photos and films beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture(scope="session")
def flowers(shared: Path) -> Callable[[int], list[Tensor]]:
    """So many real flowers, evenly chosen: (1, 3, 256, 256) each, in [-1, 1]."""
    paths = sorted((shared / "flowers").glob("*.jpg"))

    def chosen(count: int) -> list[Tensor]:
        pictures = [np.asarray(decode(path)) for path in paths[:: len(paths) // count][:count]]
        return list(Photos(pictures, torch.device("cpu")).centres(256))

    return chosen
