"""Every setting is declared once, checked at once and read by something."""

import ast
import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import beautynet
from beautynet.config import TrainConfig
from beautynet.errors import BeautyError, UsageError


def test_every_setting_is_read() -> None:
    read = set()
    for path in Path(beautynet.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Attribute(ast.Name("config") | ast.Attribute(attr="config"), attr=name):
                    read.add(name)
    assert {f.name for f in fields(TrainConfig)} <= read


def test_the_docs_have_every_setting() -> None:
    script = Path(__file__).parents[1] / "scripts" / "update_settings.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_has_help() -> None:
    assert all(f.metadata["help"].endswith(".") for f in fields(TrainConfig))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("minutes", 0),
        ("minutes", float("nan")),
        ("steps", 0),
        ("size", 56),
        ("size", 100),
        ("size", 4096),
        ("preset", "XL"),
        ("condition", "sketch"),
        ("abstraction", 1.5),
        ("abstraction", -0.1),
        ("k", 1),
        ("palette", "neon"),
        ("batch", 0),
        ("learning_rate", 0),
        ("l1", -1),
        ("perceptual", -1),
        ("texture", -1),
        ("scenes", -1),
        ("ema_images", 0),
        ("save_every", -1),
    ],
)
def test_a_bad_value_is_named(name: str, value: object) -> None:
    with pytest.raises(BeautyError, match=rf"{name.replace('_', '.')}.*{value}"):
        TrainConfig(**{name: value})


def test_numbers_of_numpy_become_pythons() -> None:
    config = TrainConfig(batch=np.int64(8), seed=np.uint8(3), l1=np.float32(2))
    assert json.loads(json.dumps(asdict(config))) == asdict(TrainConfig(batch=8, seed=3, l1=2))
    with pytest.raises(UsageError, match=r"--batch 8\.5 will not do: it has to be a whole number"):
        TrainConfig(batch=8.5)
    with pytest.raises(UsageError, match=r"--ema-images 0\.5 will not do"):  # as it is typed
        TrainConfig(ema_images=0.5)


def test_a_word_is_no_number() -> None:
    given: dict[str, Any] = {"minutes": "5"}
    with pytest.raises(TypeError):
        TrainConfig(**given)


@pytest.mark.parametrize(
    ("settings", "weight"),
    [
        ({}, 1),
        ({"palette": "ranked"}, 0),
        ({"condition": "edges"}, 0),
        ({"scenes": 0}, 0),
        ({"palette": "mean", "scenes": 3}, 3),
    ],
)
def test_it_practises_where_colours_are_borrowed_unless_told(settings: dict[str, Any], weight: float) -> None:
    assert TrainConfig(**settings).for_device("cpu").scenes == weight


def test_differences_name_what_may_not_change() -> None:
    config = TrainConfig()
    assert list(config.differences(asdict(config))) == []
    assert list(config.differences(asdict(replace(config, minutes=1, steps=5, save_every=1)))) == []
    differences = list(config.differences(asdict(replace(config, size=128, seed=7))))
    assert differences == ["size: 128 then, 256 now", "seed: 7 then, 0 now"]


def test_a_run_from_before_a_setting_existed_goes_on() -> None:
    earlier = asdict(TrainConfig())
    del earlier["palette"]
    assert list(TrainConfig(palette="mean").differences(earlier)) == []


def test_sizes_that_mps_cannot_pool() -> None:
    assert TrainConfig(size=96).for_device("mps").size == 96
    assert TrainConfig(size=120).for_device("cuda").size == 120
    with pytest.raises(BeautyError, match="--size 120 will not do on this device"):
        TrainConfig(size=120).for_device("mps")
