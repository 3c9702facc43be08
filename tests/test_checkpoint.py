"""A run's folder: round trips, damage, and files that mean harm."""

import errno
import json
import os
import pickle
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import ANY
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file

from beautynet import checkpoint as checkpoints
from beautynet.devices import peak_memory
from beautynet.errors import BeautyError
from beautynet.networks import Generator, Norm


def test_a_model_file_rebuilds_itself(checkpoint: Path, tmp_path: Path) -> None:
    generator, header = checkpoints.load_generator(checkpoint)
    checkpoints.save_model(tmp_path / "copy.safetensors", generator, header)
    again, same_header = checkpoints.load_generator(tmp_path / "copy.safetensors")
    assert same_header == header
    assert (again.width, again.depth) == (generator.width, generator.depth)
    saved = load_file(checkpoint)
    assert all(torch.equal(saved[name], tensor) for name, tensor in again.state_dict().items())
    assert saved.keys() == again.state_dict().keys()


def test_find(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for missing in (None, "small", tmp_path / "nowhere"):
        with pytest.raises(BeautyError, match="`beautynet train`"):
            checkpoints.find(missing)
    for age, name in enumerate(("new", "old")):
        path = checkpoints.CHECKPOINTS / name / checkpoints.MODEL
        path.parent.mkdir(parents=True)
        path.write_bytes(checkpoint.read_bytes())
        os.utime(path, (1e9 - age, 1e9 - age))
    assert checkpoints.find() == checkpoints.CHECKPOINTS / "new" / checkpoints.MODEL
    old = checkpoints.CHECKPOINTS / "old" / checkpoints.MODEL
    assert {checkpoints.find(way) for way in ("old", old, old.parent, str(old))} == {old}


def test_files_of_another_kind_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    weights = load_file(checkpoint)
    _, header = checkpoints.load_generator(checkpoint)
    shape = header["generator"]

    def safetensors(metadata: dict[str, str] | None) -> bytes:
        save_file(weights, tmp_path / "made", metadata=metadata)
        return (tmp_path / "made").read_bytes()

    files = {
        "empty": b"",
        "text": b"not a checkpoint at all, only text",
        "pickle": pickle.dumps({"generator": 1}),
        "truncated": whole[: len(whole) // 2],
        "short": whole[:-1],
        "headless": safetensors(None),
        "no-json": safetensors({"beautynet": "{"}),
        "other": safetensors({"beautynet": json.dumps({"kind": "a classifier"})}),
        "newer": safetensors({"beautynet": json.dumps({**header, "format": 2})}),
        "headerless": safetensors({"beautynet": json.dumps({**header, "generator": None})}),
        "foreign": safetensors({"beautynet": json.dumps({**header, "generator": {"layers": 3}})}),
        "negative": safetensors({"beautynet": json.dumps({**header, "generator": {"width": -8, "depth": 3}})}),
        "boast": safetensors({"beautynet": json.dumps({**header, "generator": {"width": 10**6, "depth": 5}})}),
        "ungrouped": safetensors({"beautynet": json.dumps({**header, "generator": {**shape, "groups": 7}})}),
        "groupless": safetensors({"beautynet": json.dumps({**header, "generator": {**shape, "groups": 0}})}),
        "misfit": safetensors({"beautynet": json.dumps({**header, "generator": {"width": 8, "depth": 3}})}),
    }
    reasons = [
        *["is not a beautynet checkpoint: not a readable safetensors file"] * 5,
        *["is not a beautynet checkpoint: its header is missing"] * 2,
        *["is a a classifier, not a beautynet generator", "was written by a newer beautynet"],
        *["is not a beautynet checkpoint: its header is damaged"] * 7,
    ]
    for (name, data), reason in zip(files.items(), reasons, strict=True):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BeautyError, match=f"{name} {reason}"):
            checkpoints.load_generator(path)
    with pytest.raises(BeautyError, match="is not a beautynet checkpoint"):
        checkpoints.read_header(tmp_path)


def test_a_flipped_bit_is_found_wherever_it_is(checkpoint: Path, tmp_path: Path) -> None:
    whole, path = checkpoint.read_bytes(), tmp_path / checkpoints.MODEL
    generator, header = checkpoints.load_generator(checkpoint)
    random = Random(0)
    for at in [random.randrange(6000) for _ in range(30)] + [random.randrange(len(whole)) for _ in range(30)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :])
        try:
            again, same_header = checkpoints.load_generator(path)
        except BeautyError:
            continue
        assert same_header == header  # a bit that says nothing
        assert all(map(torch.equal, generator.state_dict().values(), again.state_dict().values()))
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BeautyError, match="checksum"):
        checkpoints.load_generator(path)


def test_files_without_a_checksum_are_taken(checkpoint: Path, tmp_path: Path) -> None:
    header = json.dumps(checkpoints.read_header(checkpoint))
    save_file(load_file(checkpoint), tmp_path / "old", metadata={"beautynet": header})
    assert checkpoints.load_generator(tmp_path / "old")[1] == json.loads(header)


def test_networks_of_before_keep_their_norm(checkpoint: Path, tmp_path: Path) -> None:
    header = checkpoints.read_header(checkpoint)
    assert header["generator"].pop("groups") == 1
    save_file(load_file(checkpoint), tmp_path / "old", metadata={"beautynet": json.dumps(header)})
    old, _ = checkpoints.load_generator(tmp_path / "old")
    assert {norm.groups for norm in old.modules() if isinstance(norm, Norm)} == {8}
    checkpoints.save_model(tmp_path / "copy", old, {})
    assert checkpoints.load_generator(tmp_path / "copy")[0].groups == 8


def test_a_flipped_bit_in_a_state_is_found(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoints.save_state(tmp_path, {"step": step, "weights": torch.zeros(100_000)})
    newest = tmp_path / checkpoints.STATE
    whole = newest.read_bytes()
    newest.write_bytes(whole[:200_000] + b"\x01" + whole[200_001:])
    state = checkpoints.load_state(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert state["unreadable"] == [f"{checkpoints.STATE} (its checksum is wrong)"]


def test_weights_that_claim_many_others_take_no_memory(tmp_path: Path) -> None:
    """One layer of a megabyte would be that of a network of forty gigabytes."""
    tensor = torch.zeros(20_000, 3, 4, 4, dtype=torch.uint8)
    generator = {"width": 20_000, "depth": 1, "groups": 1}
    header = {"kind": "beautynet generator", "format": 1, "generator": generator}
    save_file({"down.0.0.conv.weight": tensor}, tmp_path / "m.safetensors", {"beautynet": json.dumps(header)})
    before = peak_memory(torch.device("cpu"))
    with pytest.raises(BeautyError, match="other weights than such a network"):
        checkpoints.load_generator(tmp_path / "m.safetensors")
    after = peak_memory(torch.device("cpu"))
    assert before is None or after is None or after - before < 200e6


@pytest.mark.parametrize("text", ["[1]", "[" * 200_000, '"x"', "null"])
def test_headers_that_are_none(text: str, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "m.safetensors", {"beautynet": text})
    with pytest.raises(BeautyError, match="its header is missing"):
        checkpoints.read_header(tmp_path / "m.safetensors")
    checkpoints.find_any(tmp_path / "m.safetensors")


def test_weights_of_another_size_are_refused(checkpoint: Path) -> None:
    with pytest.raises(BeautyError, match="--preset"):
        checkpoints.fill(Generator(8, 3), checkpoints.read_weights(checkpoint), checkpoint)


def test_state_falls_back_to_the_one_before(tmp_path: Path) -> None:
    assert checkpoints.load_state(tmp_path) is None
    for step in (1, 2):
        checkpoints.save_state(tmp_path, {"step": step, "weights": torch.full((1000,), step)})
    newest = tmp_path / checkpoints.STATE
    assert checkpoints.load_state(tmp_path) == {"step": 2, "weights": ANY, "unreadable": []}
    newest.write_bytes(newest.read_bytes()[:500])
    state = checkpoints.load_state(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert checkpoints.STATE in state["unreadable"][0]
    newest.unlink()
    assert checkpoints.load_state(tmp_path) == {"step": 1, "weights": ANY, "unreadable": []}
    with ZipFile(tmp_path / checkpoints.PREVIOUS_STATE, "w") as archive:
        archive.writestr("another", "thing")
    newest.write_bytes(b"garbage")
    with pytest.raises(BeautyError, match=r"\(not a whole file\) and .* \(not what a run saves\) cannot be .* --name"):
        checkpoints.load_state(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "state.pt"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_what_cannot_be_read_for_now_is_not_damaged(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        checkpoints.save_state(tmp_path, {"step": step})

    def refused(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(type(error)):
        checkpoints.load_state(tmp_path)


def test_what_the_first_runs_noted_is_read(tmp_path: Path) -> None:
    (tmp_path / checkpoints.TRAINING_SET).write_text(
        '{"place": "data/roses", "photos": ["1.jpg"], "practised": ["ab"]}'
    )
    assert checkpoints.read_training_set(tmp_path) == ("data/roses", {"ab"}, set())


def test_what_a_run_has_seen_is_read_as_it_was_written(tmp_path: Path) -> None:
    seen = checkpoints.TrainingSet("data/roses", frozenset({"ab", "cd"}), frozenset({"ef"}))
    checkpoints.write_training_set(tmp_path, seen)
    assert checkpoints.read_training_set(tmp_path) == seen


def test_a_damaged_state_takes_no_good_ones_place(tmp_path: Path) -> None:
    newest = tmp_path / checkpoints.STATE
    for step in (1, 2):
        checkpoints.save_state(tmp_path, {"step": step})
    newest.write_bytes(newest.read_bytes()[:100])
    state = checkpoints.load_state(tmp_path)
    assert state is not None
    checkpoints.mend(tmp_path, state)
    checkpoints.save_state(tmp_path, {"step": 3})
    newest.write_bytes(b"")
    assert checkpoints.load_state(tmp_path) == {"step": 1, "unreadable": ANY}


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_loading_runs_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"config": Bomb(trace)}, tmp_path / checkpoints.STATE)
    with pytest.raises(BeautyError, match="cannot be read"):
        checkpoints.load_state(tmp_path)
    assert not trace.exists()
    torch.load(tmp_path / checkpoints.STATE, weights_only=False)
    assert trace.exists(), "the bomb is a dud"
