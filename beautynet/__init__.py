"""beautynet: a network that has only ever seen beautiful things can see nothing else.

import beautynet
beautynet.scrape("flowers", max=1000)
beautynet.train(minutes=120)
dream = beautynet.Translator.load()(picture)      # a PIL image in, a PIL image out
beautynet.video("input.mp4")
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beautynet.classifying.classifier import Classifier as Classifier
    from beautynet.conditions import Condition as Condition
    from beautynet.config import TrainConfig as TrainConfig
    from beautynet.datasets.dataset import Dataset as Dataset
    from beautynet.errors import BeautyError as BeautyError
    from beautynet.showcase import demo as demo
    from beautynet.speed import bench as bench
    from beautynet.translator import Translator as Translator
    from beautynet.verbs.classify_evaluate import classify_evaluate as classify_evaluate
    from beautynet.verbs.classify_predict import classify_predict as classify_predict
    from beautynet.verbs.classify_serve import classify_serve as classify_serve
    from beautynet.verbs.classify_train import classify_train as classify_train
    from beautynet.verbs.curate import curate as curate
    from beautynet.verbs.draw import draw as draw
    from beautynet.verbs.draw import draw_gallery as draw_gallery
    from beautynet.verbs.draw_survey import draw_survey as draw_survey
    from beautynet.verbs.evaluate import evaluate as evaluate
    from beautynet.verbs.export import export as export
    from beautynet.verbs.image import image as image
    from beautynet.verbs.info import info as info
    from beautynet.verbs.live import live as live
    from beautynet.verbs.look import look as look
    from beautynet.verbs.pairs import pairs as pairs
    from beautynet.verbs.scrape import scrape as scrape
    from beautynet.verbs.train import train as train
    from beautynet.verbs.video import video as video
    from beautynet.verbs.video import videos as videos

if sys.platform == "darwin":  # before torch: what its older ones cannot do on an Apple GPU is done on the CPU
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

_HOMES = {
    "BeautyError": "beautynet.errors",
    "Classifier": "beautynet.classifying.classifier",
    "Condition": "beautynet.conditions",
    "Dataset": "beautynet.datasets.dataset",
    "TrainConfig": "beautynet.config",
    "Translator": "beautynet.translator",
    "bench": "beautynet.speed",
    "demo": "beautynet.showcase",
    "draw_gallery": "beautynet.verbs.draw",
    "videos": "beautynet.verbs.video",
    **{
        verb: f"beautynet.verbs.{verb}"
        for verb in (
            *("scrape", "look", "pairs", "train", "image", "video", "export", "info", "evaluate", "live"),
            *("curate", "classify_train", "classify_evaluate", "classify_predict", "classify_serve"),
            *("draw", "draw_survey"),
        )
    },
}
__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    __version__: str
else:  # which type checkers would take for leave to name anything

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is asked for: `import beautynet` itself loads neither torch nor OpenCV."""
        if name == "__version__":
            from importlib import metadata

            try:
                value = metadata.version("beautynet")
            except metadata.PackageNotFoundError:  # run from a checkout that is not installed
                value = "0"
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'beautynet' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """What there is to complete."""
    return sorted({*__all__, *globals(), "__version__"})
