"""Picture in, dream out: any size, the same answer to the same question, steady in a film."""

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from beautynet import checkpoint as checkpoints
from beautynet import images
from beautynet.errors import BeautyError, UsageError
from beautynet.film.frames import BATCH, Frame, in_batches
from beautynet.film.rendering import writing
from beautynet.translator import Memory, Translator
from beautynet.verbs.image import image

pytestmark = pytest.mark.usefixtures("two_threads")  # which share the frames of a film


@pytest.fixture(scope="module")
def translator(checkpoint: Path) -> Translator:
    return Translator.load(checkpoint, device="cpu", precision="float32")


@pytest.fixture
def frames(crops: torch.Tensor) -> np.ndarray:
    return images.to_uint8(crops[:4, :, :90, :160])


@pytest.mark.parametrize("size", [(1, 1), (3, 150), (150, 3), (64, 64), (65, 131), (160, 90), (500, 333)])
def test_any_picture_comes_back_in_its_size(size: tuple[int, int], translator: Translator) -> None:
    dream = translator(Image.effect_noise(size, 60))
    assert (dream.size, dream.mode) == (size, "RGB")


@pytest.mark.parametrize("kind", ["turned.jpg", "clear.png", "deep.png"])
def test_a_picture_is_seen_as_its_file_is(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    """From Python as from the shell: upright, on white, and of 16 bits as bright as it is."""
    china = Image.fromarray(load_sample_image("china.jpg")).resize((120, 80))
    path = tmp_path / kind
    match kind:
        case "turned.jpg":
            exif = Image.Exif()
            exif[0x0112] = 6
            china.save(path, exif=exif, quality=95)
        case "clear.png":
            china.putalpha(Image.linear_gradient("L").resize(china.size))
            china.save(path)
        case "deep.png":
            Image.fromarray(np.asarray(china.convert("L"), np.uint16) * 129).save(path)
    translator = Translator.load(checkpoint, device="cpu", precision="float32")
    dream = translator(Image.open(path))
    (result,) = image(path, tmp_path / "dream.png", translator=translator)
    assert result.out
    assert np.array_equal(np.asarray(dream), np.asarray(Image.open(result.out)))
    assert dream.size == ((80, 120) if kind == "turned.jpg" else (120, 80))
    turned = Image.open(path).convert("RGB").rotate(90, expand=True)  # by hand: it stays as it is now
    assert translator(turned).size == turned.size


@pytest.mark.parametrize(
    "frames",
    [
        *(np.zeros((1, 40, 60, 3), kind) for kind in (np.float32, np.uint16)),
        *(np.zeros(shape, np.uint8) for shape in ((40, 60, 3), (1, 40, 60, 4), (1, 3, 40, 60), (0, 40, 60, 3))),
    ],
)
def test_what_are_no_frames(frames: np.ndarray, translator: Translator) -> None:
    with pytest.raises(UsageError, match=r"uint8 RGB, an array of shape \(N, H, W, 3\), not "):
        translator.dream(frames)


@pytest.mark.parametrize("picture", ["a.jpg", np.zeros((40, 60, 3), np.uint8), Image.new("RGB", (0, 5))])
def test_what_is_no_picture(picture: object, translator: Translator) -> None:
    with pytest.raises(UsageError, match="a picture has to"):
        translator(picture)  # type: ignore[arg-type]


@pytest.mark.parametrize("steady", [0.0, 0.9])
def test_a_camera_that_changes_its_size(steady: float, checkpoint: Path, frames: np.ndarray) -> None:
    """What was remembered of frames of another size is forgotten."""
    translator = Translator.load(checkpoint, device="cpu", precision="float32", steady=steady)
    _, memory = translator.dream(frames[:1])
    wider = np.concatenate([frames, frames], axis=2)[:1]
    for other in (wider, frames[:1].swapaxes(1, 2)) if steady else (wider,):
        assert np.array_equal(translator.dream(other, memory)[0], translator.dream(other)[0])


def test_the_dice_of_others_are_left_alone(checkpoint: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    Translator.load(checkpoint, device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_same_picture_same_dream(checkpoint: Path, translator: Translator, frames: np.ndarray) -> None:
    picture = Image.fromarray(frames[0])
    dream = translator(picture)
    assert dream == translator(picture)
    assert dream == Translator.load(checkpoint, device="cpu", precision="float32")(picture)
    assert dream != translator(Image.fromarray(frames[1]))


def test_dream_is_condition_then_generator(translator: Translator, crops: torch.Tensor) -> None:
    photo = images.to_tensor(images.to_uint8(images.resize(crops[:1], translator.size, translator.size // 16 * 24)))
    wanted = translator.generator(translator.condition(photo)[0])
    dream, _ = translator.dream(images.to_uint8(photo))
    assert np.abs(dream - images.to_uint8(wanted.detach()).astype(int)).max() <= 2


def test_padding_is_not_painted(translator: Translator) -> None:
    shown = torch.rand(1, 3, 83, 121) * 2 - 1
    height, width = (side + -side % translator.generator.multiple for side in (83, 121))
    wide = torch.nn.functional.pad(shown, (0, width - 121, 0, height - 83), mode="replicate")
    assert torch.allclose(translator.paint(shown), translator.paint(wide)[..., :83, :121], atol=1e-5)


def test_what_memory_does_not_do_for_is_painted_in_parts(translator: Translator, crops: torch.Tensor) -> None:
    shown, _ = translator.condition(crops[:2, :, :100, :164])
    whole = translator.paint(shown)
    together: list[int] = []
    hook = translator.generator.register_forward_pre_hook(lambda _, given: together.append(len(given[0])))
    try:
        translator.most_pixels = 20_000  # picture by picture
        assert torch.allclose(translator.paint(shown.repeat(2, 1, 1, 1)), whole.repeat(2, 1, 1, 1), atol=1e-4)
        assert together == [1] * 4
        translator.most_pixels = 96**2  # in tiles, whose norms see their own part
        tiled = translator.paint(shown)
    finally:
        translator.most_pixels = None
        hook.remove()
    assert tiled.shape == whole.shape
    # each part has its own statistics; the tones are those of the whole
    tones = torch.nn.functional.avg_pool2d
    assert (tones(tiled, 20) - tones(whole, 20)).abs().mean() < 0.3 * whole.std()


def test_tiles_have_the_noise_of_the_whole(translator: Translator) -> None:
    shown = torch.zeros(1, 3, 160, 160)
    whole = translator.paint(shown)
    try:
        translator.most_pixels = 96**2
        tiled = translator.paint(shown)
    finally:
        translator.most_pixels = None
    grain = torch.stack([picture[0, :, 80:144, 80:144].flatten() for picture in (whole, tiled)])
    assert torch.corrcoef(grain)[0, 1] > 0.9


def test_size_and_abstraction_can_be_overridden(checkpoint: Path, translator: Translator, frames: np.ndarray) -> None:
    for override in ({"size": 96}, {"abstraction": 0.2}, {"size": 33}):
        other = Translator.load(checkpoint, device="cpu", precision="float32", **override)
        shown, _ = other.see(frames)
        assert min(shown.shape[2:]) == other.size == override.get("size", translator.size)
        assert other.condition == replace(
            translator.condition, abstraction=override.get("abstraction", translator.condition.abstraction)
        )
        dreams, _ = other.dream(frames)
        assert dreams.shape == frames.shape
        assert (dreams != translator.dream(frames)[0]).any()


def test_frames_of_a_film_in_any_batching(translator: Translator, frames: np.ndarray) -> None:
    together, memory = translator.dream(frames)
    parts, carried = [], None
    for frame in frames:
        dream, carried = translator.dream(frame[None], carried)
        parts.append(dream)
    assert np.abs(together - np.concatenate(parts).astype(int)).max() <= 2
    assert carried is not None
    assert memory.seen is not None
    assert carried.seen is not None
    assert torch.allclose(memory.seen[0], carried.seen[0], atol=1e-3)


def test_steadiness_is_a_dial(checkpoint: Path) -> None:
    scene = load_sample_image("china.jpg")[220:340, 60:300]  # full of leaves
    noise = np.random.default_rng(0).normal(0, 8, (6, *scene.shape))
    film = (scene + noise).clip(0, 255).astype(np.uint8)
    alone = Translator.load(checkpoint, device="cpu")
    films = [np.concatenate([alone.dream(frame[None])[0] for frame in film])]
    for steady in (0.0, 0.5, 0.9):
        dreams, memory = Translator.load(checkpoint, device="cpu", steady=steady).dream(film)
        assert (memory.dream is None) == (steady == 0)
        films.append(dreams)
    changes = [np.abs(np.diff(each.astype(int), axis=0)).mean() for each in films]
    assert changes == sorted(changes, reverse=True)
    assert changes[3] < 0.6 * changes[1]
    assert changes[3] < 0.5 * changes[0]


def test_memory_steadies_a_film(checkpoint: Path) -> None:
    translator = Translator.load(checkpoint, device="cpu", abstraction=0.3)
    scene = load_sample_image("china.jpg")
    noise = np.random.default_rng(0).normal(0, 25, (12, *scene.shape))
    film = (scene + noise).clip(0, 255).astype(np.uint8)
    remembered, _ = translator.see(film)
    forgotten = torch.cat([translator.see(frame[None])[0] for frame in film])
    changes = [(shown.diff(dim=0) != 0).any(1).float().mean() for shown in (remembered, forgotten)]
    assert changes[0] < 0.8 * changes[1]


def test_noise_pans_along_and_goes_on_from_what_was_kept(translator: Translator) -> None:
    scene = load_sample_image("china.jpg")[100:260]
    pan = np.stack([scene[:, 4 * number :][:, :240] for number in range(6)])
    whole = translator.passed(pan)
    assert whole.memory.view is not None
    assert whole.memory.view.place == pytest.approx([20 * translator.size / 160, 0], abs=2)
    kept = translator.pack(translator.passed(pan[:3]).memory)
    rest = translator.passed(pan[3:], translator.unpack(kept))
    assert torch.allclose(rest.painted, whole.painted[3:], atol=1e-3)
    assert torch.allclose(rest.held, whole.held[3:], atol=1e-3)
    lying_still = translator.paint(rest.shown)
    assert (lying_still - rest.painted).abs().mean() > 0.05 * rest.painted.std()


def test_a_film_frame_by_frame(translator: Translator, frames: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with writing(path, (frames.shape[2], frames.shape[1]), rate=Fraction(10)) as writer:
        for number, frame in enumerate(frames):
            writer.write(Frame(frame, Fraction(number, 10), Fraction(1, 10)))
    dreams = list(translator.film(path))
    assert [float(dream.time) for dream in dreams] == pytest.approx([n / 10 for n in range(len(frames))], abs=0.002)
    assert all(dream.picture.shape == frames.shape[1:] for dream in dreams)
    assert len(list(translator.film(path, 0.1, 0.2))) == 1


def test_a_film_in_stages_is_its_frames_one_after_the_other(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = load_sample_image("china.jpg")[200:280, 60:160]
    film = [np.roll(each, number, axis=1) for each in (scene, 255 - scene) for number in range(BATCH + 2)]
    frames = [Frame(each, Fraction(number, 25), Fraction(1, 25)) for number, each in enumerate(film)]
    staged = [*translator.dreams(in_batches(frames))]
    assert [len(each.frames) for each in staged] == [BATCH, 2, BATCH, 2]
    memory: Memory | None = None
    for number, (each, dream) in enumerate(zip(film, np.concatenate([each.dreams for each in staged]), strict=True)):
        alone, memory = translator.dream(each[None], memory if number != BATCH + 2 else None)
        # a pixel between two clusters may fall to the other one
        assert (np.abs(alone[0].astype(int) - dream).max(2) > 2).mean() < 0.01
    threads, cores = threading.active_count(), torch.get_num_threads()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(translator, "_paint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        [*translator.dreams(in_batches(frames))]
    assert (threading.active_count(), torch.get_num_threads()) == (threads, cores)


def test_frames_may_be_views_and_lists(translator: Translator) -> None:
    """OpenCV's colours turned round, at the network's own size, are no array that torch takes as it is."""
    frame = cv2.resize(load_sample_image("china.jpg"), (120, 80))
    wanted, _ = translator.dream(frame[None])
    assert frame.shape[0] == translator.size
    turned = np.ascontiguousarray(frame[..., ::-1])
    assert np.array_equal(translator.dream(turned[None, ..., ::-1])[0], wanted)
    assert np.array_equal(translator.dream([frame])[0], wanted)
    with pytest.raises(UsageError, match="uint8"):
        translator.dream([1, 2])


def test_what_decides_how_a_film_is_dreamt_is_told_apart(translator: Translator) -> None:
    other = translator.varied(steady=0.3)
    before = other.identity
    assert other.identity == before != translator.identity
    other.steady = 0.4
    assert other.identity != before


def test_what_is_no_film_is_said_at_once(translator: Translator, tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match="nothing"):
        translator.film(tmp_path / "nothing.mp4")


def test_what_cannot_be_loaded(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match="no checkpoint at"):
        Translator.load(tmp_path / "nowhere")
    with pytest.raises(BeautyError, match="steady"):
        Translator.load(checkpoint, device="cpu", steady=1.5)
    with pytest.raises(BeautyError, match="unknown device"):
        Translator.load(checkpoint, device="toaster")
    generator, header = checkpoints.load_generator(checkpoint)
    for condition in (None, {"eyes": 2}, {"kind": "smell"}, {"abstraction": "much"}):
        checkpoints.save_model(tmp_path / "strange", generator, {**header, "condition": condition})
        with pytest.raises(BeautyError, match="strange"):
            Translator.load(tmp_path / "strange")


def test_the_colours_of_another_picture(checkpoint: Path, tmp_path: Path, frames: np.ndarray) -> None:
    red = tmp_path / "red.png"
    Image.fromarray(np.linspace([20, 0, 0], [255, 40, 40], 90 * 120).reshape(90, 120, 3).astype(np.uint8)).save(red)
    translator = Translator.load(checkpoint, device="cpu", colors=[red])
    shown, _ = translator.see(frames)
    assert (shown[:, 0] > shown[:, 2]).all(), "all is red"
    with pytest.raises(BeautyError, match="nowhere"):
        Translator.load(checkpoint, device="cpu", colors=[tmp_path / "nowhere.jpg"])

    generator, header = checkpoints.load_generator(checkpoint)
    header["condition"] |= {"palette": "ranked", "lenders": []}
    checkpoints.save_model(tmp_path / checkpoints.MODEL, generator, header)
    with pytest.raises(BeautyError, match="--palette borrowed"):
        Translator.load(tmp_path, device="cpu", colors=[red])
