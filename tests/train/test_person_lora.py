"""A LoRA changes what its base draws, in whatever loads it; nothing but the face teaches it; stopped, it goes on."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import diffusers
import numpy as np
import pytest
import tiny
import tiny_flux
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sitting import Reader, person, photo

from vidswap import files
from vidswap.cli import main as cli
from vidswap.errors import ConsentError, EngineError, ModelError, OutputError, UsageError
from vidswap.models.hub import entry
from vidswap.swap.lora import Lora, bake, called
from vidswap.train import album, families, lora, lora_files, lora_lesson
from vidswap.train.foundation import base_in, levels_of, network_of
from vidswap.train.lora import Order, Schedule
from vidswap.train.lora_files import About, in_order, save_lora, save_sheet
from vidswap.trust.consent import load_consent
from vidswap.types import Consent

BASES = {"sd15": lambda folder: tiny.base(folder, "sd15"), "sdxl": lambda folder: tiny.base(folder, "sdxl"),
         "sd15-inpainting": lambda folder: tiny.base(folder, "sd15", channels=9), "flux2": tiny_flux.klein,
         "flux1": tiny_flux.kontext}  # fmt: skip
NAMED = {"sd15-inpainting": "sd15", "flux1": "flux", "flux2": "flux"}
SHORT = Schedule(steps=3, rate=0.02, side=64, rank=2, samples=0, drawn=1, every=0)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers, numpy 2
ANNA = Consent("Anna Muster", ("train", "our short film"), date(2999, 1, 1), "anna.toml")


class Killed(BaseException):
    """What ends a run in the middle."""


@pytest.fixture(autouse=True)
def _a_reader_of_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album, "troubles", lambda *_: [])
    monkeypatch.setattr(lora, "open_faces", lambda _pack: Reader())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return person(tmp_path_factory.mktemp("person") / "photos", 3)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A base of tiny random weights, by its name."""
    made: dict[str, Path] = {}

    def base(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("bases") / name
            BASES[name](made[name])
        return made[name]

    return base


def order(photos: Path, base: Path, name: str) -> Order:
    return Order("anna", photos, ANNA, NAMED.get(name, name), base)


def first_batch(where: lora_lesson.Ground, photos: Path, count: int = 2) -> tuple[torch.Tensor, ...]:
    pages = album.open_album(photos, Reader(), 64).pages
    own, _ = lora_lesson.decks(where, pages, "ohwx person", ("person", ()))
    return lora_lesson.Batches(own, None, count, 0, 1.0)[0]


def asked(name: str, network: Any, batch: tuple[torch.Tensor, ...], folder: Path) -> torch.Tensor:
    """How wrong a network is about a batch, at the same noise each time."""
    clean, masks, around, _counts, *words = batch
    _, family = base_in(NAMED.get(name, name), folder)
    torch.manual_seed(3)
    told = families.Told(clean, tuple(words), masks, around)
    return family.errors(network, levels_of(family, folder), told)


def stock(family: families.Family, base: Path, network: Any) -> Any:
    """Diffusers' own pipeline, nothing of ours in it."""
    index = json.loads((base / "model_index.json").read_text())
    unused = {name: None for name in ("safety_checker", "feature_extractor", "image_encoder") if name in index}
    return getattr(diffusers, family.pipeline).from_pretrained(base, **{family.part: network, **unused})


@pytest.mark.parametrize("name", BASES)
def test_what_is_trained_loads_in_plain_diffusers_and_changes_what_it_draws(
    name: str, bases: Any, photos: Path, tmp_path: Path
) -> None:
    """As much as it did where it was trained, although alpha is not the rank; and the base is as it was."""
    base = bases(name)
    before = {path: path.read_bytes() for path in base.rglob("*.safetensors")}
    made = lora.train(order(photos, base, name), tmp_path, schedule=replace(SHORT, alpha=8.0, samples=1))
    assert {path: path.read_bytes() for path in base.rglob("*.safetensors")} == before
    _, family = base_in(NAMED.get(name, name), base)
    where = lora_lesson.ground(family, base)
    batch = first_batch(where, photos)
    network = network_of(family, base, torch.float32)
    pipe = stock(family, base, network)
    with torch.no_grad():
        plain, picture = asked(name, network, batch, base), family.drawn(pipe, "ohwx person", 0, 64, 1)
        pipe.load_lora_weights(made.file.parent, weight_name=made.file.name)
        loaded = asked(name, network, batch, base)
        assert (loaded - plain).abs().max() > 1e-4
        assert np.abs(family.drawn(pipe, "ohwx person", 0, 64, 1) - picture).max() > 1e-4
        pipe.unload_lora_weights()
        assert torch.equal(asked(name, network, batch, base), plain)
    assert all(bool(weights.any()) for weights in load_file(made.file).values())


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_both_layouts_do_what_the_adapter_does_whatever_its_alpha(
    layout: str, bases: Any, photos: Path, tmp_path: Path
) -> None:
    _, family = base_in("sd15", bases("sd15"))
    where = lora_lesson.ground(family, bases("sd15"))
    network, parts = lora_lesson.with_adapter(where, 2, 8.0, False)
    with torch.no_grad():
        for weights in parts.parameters():
            weights.normal_(0, 0.1)
        batch = first_batch(where, photos)
        wanted = asked("sd15", network, batch, where.folder)
        state = lora_lesson.put_in(network, parts, parts)
        file = save_lora(state, about(), "unet", layout, tmp_path / "x.safetensors")
        assert any(".alpha" in key for key in load_file(file)) == (layout == "kohya")
        plain = network_of(family, where.folder, torch.float32)
        pipe = stock(family, where.folder, plain)
        pipe.load_lora_weights(str(file))
        torch.testing.assert_close(asked("sd15", plain, batch, where.folder), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "layout"), [("sd15", "kohya"), ("sdxl", "kohya"), ("sdxl", "diffusers"),
                                              ("flux2", "diffusers")])  # fmt: skip
def test_the_engines_take_it_and_call_the_person(
    name: str, layout: str, bases: Any, photos: Path, tmp_path: Path
) -> None:
    schedule = replace(SHORT, layout=layout, steps=2)
    made = lora.train(order(photos, bases(name), name), tmp_path, schedule=schedule)
    _, family = base_in(NAMED.get(name, name), bases(name))
    pipe = stock(family, bases(name), network_of(family, bases(name), torch.float32))
    part = getattr(pipe, family.part)
    before = {key: value.clone() for key, value in part.state_dict().items()}
    bake(pipe, [Lora(made.file)], name)
    changed = [key for key, value in part.state_dict().items() if not torch.equal(value, before[key])]
    assert changed
    assert all("attn" in key for key in changed)
    assert called("a film still", [Lora(made.file)]) == "ohwx person, a film still"


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux1", "flux2"])
def test_in_half_numbers_what_learns_is_whole_ones(name: str, bases: Any, photos: Path) -> None:
    """As on a graphics card: the base in bfloat16, its changes and their gradients in float32."""
    _, family = base_in(NAMED.get(name, name), bases(name))
    where = lora_lesson.Ground(family, bases(name), torch.device("cpu"), torch.bfloat16)
    network, parts = lora_lesson.with_adapter(where, 2, 2.0, thrifty=True)
    lesson = lora_lesson.lesson_of(where, network, parts, None, "")  # type: ignore[arg-type]
    loss = lesson.loss(parts, first_batch(where, photos), 0.0)
    loss.backward()
    assert bool(loss.isfinite())
    assert {weights.dtype for weights in parts.parameters()} == {torch.float32}
    assert {weights.dtype for key, weights in network.named_parameters() if "lora_" not in key} == {torch.bfloat16}
    assert any(bool(weights.grad.any()) for weights in parts.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux1", "flux2"])
def test_all_that_a_family_names_learns(name: str, bases: Any) -> None:
    _, family = base_in(NAMED.get(name, name), bases(name))
    where = lora_lesson.Ground(family, bases(name), torch.device("cpu"), torch.float32)
    network, _ = lora_lesson.with_adapter(where, 2, 2.0, thrifty=False)
    learning = {key.partition(".lora_A.")[0] for key, _ in network.named_parameters() if ".lora_A." in key}
    for end in family.targets:
        assert any(layer.endswith(f".{end}") for layer in learning), end
    alone = [layer for layer in learning if "single_transformer_blocks" in layer and layer.endswith(".attn.to_out")]
    assert bool(alone) == (name == "flux2")


def test_a_base_in_half_numbers_alone_will_do_and_one_that_lacks_some_will_not(
    bases: Any, photos: Path, tmp_path: Path
) -> None:
    half = shutil.copytree(bases("sd15"), tmp_path / "half")
    for file in [*half.rglob("*.safetensors")]:
        save_file({key: value.half() for key, value in load_file(file).items()},
                  file.with_suffix(".fp16.safetensors"), {"format": "pt"})  # fmt: skip
        file.unlink()
    made = lora.train(order(photos, half, "sd15"), tmp_path / "out", schedule=replace(SHORT, steps=1, samples=1))
    assert made.file.is_file()
    weights = half / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    some = load_file(weights)
    del some["conv_in.weight"]
    save_file(some, weights, {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 of its weights"):
        lora.train(order(photos, half, "sd15"), tmp_path / "out", schedule=SHORT)


def about() -> About:
    return About("anna", "sd15", "stable-diffusion-v1/lora", "OpenRAIL", "ohwx person", "0" * 64, 2, 8.0, 3, 64, ANNA,
                 "vidswap")  # fmt: skip


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux1", "flux2"])
def test_what_is_learnt_is_the_photos(name: str, bases: Any, photos: Path) -> None:
    """On one batch and its noise the loss falls, while the base itself stays as it is."""
    _, family = base_in(NAMED.get(name, name), bases(name))
    where = lora_lesson.ground(family, bases(name))
    torch.manual_seed(0)
    network, parts = lora_lesson.with_adapter(where, 8, 8.0, thrifty=True)
    frozen = {key: value.clone() for key, value in network.state_dict().items() if "lora_" not in key}
    batch = first_batch(where, photos)
    lesson = lora_lesson.lesson_of(where, network, parts, None, "")  # type: ignore[arg-type]
    optimiser, losses = torch.optim.AdamW(parts.parameters(), lr=0.05), []
    for _ in range(15):
        torch.manual_seed(1)
        loss = lesson.loss(parts, batch, 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
    assert all(torch.equal(network.state_dict()[key], value) for key, value in frozen.items())
    assert all(weights.requires_grad == ("lora_" in key) for key, weights in network.named_parameters())


def test_stopped_and_gone_on_gives_equal_bytes(bases: Any, photos: Path, tmp_path: Path) -> None:
    schedule = replace(SHORT, prior=1, samples=1)
    whole = lora.train(order(photos, bases("sd15"), "sd15"), tmp_path / "whole", schedule=schedule)
    said: list[str] = []

    def until(stage: str, step: int, _of: int) -> None:
        if (stage, step) == ("training", 2):
            raise Killed

    with pytest.raises(Killed) as stop:
        lora.train(order(photos, bases("sd15"), "sd15"), tmp_path / "parts", schedule=schedule, report=until)
    assert "the same command goes on" in stop.value.__notes__[0]
    assert not [*(tmp_path / "parts").glob("anna.safetensors")]
    parts = lora.train(order(photos, bases("sd15"), "sd15"), tmp_path / "parts", schedule=schedule, say=said.append)
    assert any("goes on from step 1" in line for line in said)
    for one, other in ((whole.file, parts.file), (whole.card, parts.card), (whole.sheet, parts.sheet)):
        assert one.read_bytes() == other.read_bytes()  # type: ignore[union-attr]
    assert not [*tmp_path.rglob("*.checkpoint")]


def test_pictures_of_anybody_are_drawn_once_and_weigh_as_they_should(
    bases: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, family = base_in("sd15", bases("sd15"))
    where = lora_lesson.ground(family, place)
    made = lora_lesson.anybodies(where, tmp_path / "prior", "person", 3, (64, 1))
    assert len({picture.tobytes() for picture in made}) == 3
    (tmp_path / "prior" / "0001.png").unlink()
    told: list[int] = []
    again = lora_lesson.anybodies(where, tmp_path / "prior", "person", 3, (64, 1),
                                  report=lambda _stage, done, _all: told.append(done))  # fmt: skip
    assert told == [2], "only what was missing"
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    pages = album.open_album(photos, Reader(), 64).pages
    own, others = lora_lesson.decks(where, pages, "ohwx person", ("person", made))
    assert others is not None
    assert (len(own), len(others)) == (3, 3)
    assert torch.equal(others.masks, torch.ones_like(others.masks))
    clean, _masks, _around, counts, words = lora_lesson.Batches(own, others, 2, 0, 0.25)[0]
    assert counts.tolist() == [1, 1, 0.25, 0.25]
    assert len(clean) == len(words) == 4
    assert all(any(torch.equal(row, known) for known in others.clean) for row in clean[2:])
    (tmp_path / "prior" / "0002.png").write_bytes(b"no picture")
    with pytest.raises(OutputError, match="damaged"):
        lora_lesson.anybodies(where, tmp_path / "prior", "person", 3, (64, 1))


@pytest.mark.parametrize("name", ["sd15", "sd15-inpainting", "flux2"])
def test_what_lies_outside_the_mask_teaches_nothing(name: str, bases: Any, photos: Path) -> None:
    _, family = base_in(NAMED.get(name, name), bases(name))
    batch = first_batch(lora_lesson.ground(family, bases(name)), photos)
    masks = batch[1]
    assert 0 < float(masks.mean()) < 0.7
    errors = torch.rand(batch[0].shape).requires_grad_()
    lora_lesson.masked(errors, masks, batch[3]).backward()
    told = masks.expand(errors.shape) > 0
    assert bool((errors.grad[~told] == 0).all())  # type: ignore[index]
    assert bool((errors.grad[told] > 0).all())  # type: ignore[index]


@given(st.integers(1, 4), st.floats(0.01, 9), st.integers(0, 99))
def test_a_row_counts_as_much_however_large_its_face(rows: int, error: float, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    masks = torch.rand(rows, 1, 4, 4, generator=chance) + 0.01
    errors = torch.full((rows, 3, 4, 4), error)
    assert float(lora_lesson.masked(errors, masks, torch.ones(rows))) == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("velocity", [False, True])
def test_no_level_of_noise_counts_more_than_min_snr_lets_it(velocity: bool) -> None:
    scheduler = diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    times = torch.arange(1000)
    ratio = scheduler.alphas_cumprod / (1 - scheduler.alphas_cumprod)
    # the error of x0 is that of the noise over the ratio, and that of a velocity over the ratio and one
    counts = families.weight(scheduler, times, velocity) * (ratio + 1 if velocity else ratio)
    torch.testing.assert_close(counts, ratio.clamp(max=families.SNR))


def test_flow_that_goes_straight_is_right() -> None:
    clean = torch.rand(2, 3, 4, 4)

    def way(noisy: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        return (noisy - clean) / levels.view(-1, 1, 1, 1)

    assert families.flow_errors(clean, way).max() < 1e-6


def test_a_file_says_what_it_is_and_whose(bases: Any, photos: Path, tmp_path: Path) -> None:
    made = lora.train(order(photos, bases("sd15"), "sd15"), tmp_path, schedule=replace(SHORT, steps=1))
    with safe_open(made.file, "pt") as file:
        told = file.metadata()
    wanted = {"vidswap.base": "sd15", "vidswap.token": "ohwx person", "vidswap.rank": "2", "vidswap.alpha": "2.0",
              "vidswap.subject": "Anna Muster", "vidswap.consent": "anna.toml", "vidswap.until": "2999-01-01",
              "vidswap.uses": '["train", "our short film"]',
              "modelspec.trigger_phrase": "ohwx person", "modelspec.architecture": "stable-diffusion-v1/lora",
              "ss_network_dim": "2", "format": "pt"}  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert told["vidswap.photos"] == album.open_album(photos, Reader(), 64).digest
    assert load_consent(made.consent) == replace(ANNA, record="anna.consent.toml")
    assert "Anna Muster" in made.card.read_text()
    assert made.sheet is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.consent.toml", "anna.md", "anna.safetensors"]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=6))
def test_equal_weights_are_equal_bytes(told: dict[str, str]) -> None:
    from safetensors.torch import load, save

    weights = {"b": torch.ones(2), "a": torch.zeros(3)}
    files = [in_order(save(weights, dict(items))) for items in (told.items(), reversed(told.items()))]
    assert files[0] == files[1]
    assert torch.equal(load(files[0])["b"], weights["b"])


def test_a_sheet_holds_photos_and_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photos, samples = ([rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(n)] for n in (13, 5))
    made = cv2.imread(str(save_sheet(photos, samples, about(), tmp_path / "x.png")))
    assert made.shape[0] > 3 * lora_files.TALL
    assert made.shape[1] > 8 * lora_files.TALL


@pytest.mark.parametrize("consent", [
    Consent("Anna", ("our short film",)), Consent("Anna", ("swap",)), Consent("Anna", (), date(2020, 1, 1)),
])  # fmt: skip
def test_nobody_is_learnt_without_their_consent(consent: Consent, tmp_path: Path) -> None:
    with pytest.raises(ConsentError):
        lora.train(Order("anna", tmp_path, consent, "sd15"), tmp_path / "out", schedule=SHORT)
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_not_there_is_refused_with_the_command_that_gets_it(tmp_path: Path) -> None:
    for base, name in (("sd15", "sd15"), ("sdxl", "sdxl"), ("flux", "flux2-klein")):
        with pytest.raises(ModelError) as caught:
            lora.train(Order("anna", tmp_path, Consent("self"), base), tmp_path / "out", schedule=SHORT)
        assert f"`vidswap models pull {name}`" in caught.value.hint
        assert entry(name).licence in caught.value.hint


def test_what_is_no_base_or_another_or_broken_is_refused(bases: Any, photos: Path, tmp_path: Path) -> None:
    def refused(base: Path, name: str = "sd15") -> str:
        with pytest.raises(ModelError) as caught:
            lora.train(order(photos, base, name), tmp_path / "out", schedule=SHORT)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is no sd15 but sdxl" in refused(bases("sdxl"))
    assert "is no sdxl but sd15" in refused(bases("sd15"), "sdxl")
    fill = tiny_flux.fill(tmp_path / "fill")
    assert "FluxFillPipeline" in refused(fill, "flux")
    (tmp_path / "empty").mkdir()
    assert "model_index.json" in refused(tmp_path / "empty")
    broken = shutil.copytree(bases("sd15"), tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-50])
    assert "is no safetensors" in refused(broken)
    weights.write_bytes(whole)
    shutil.rmtree(broken / "vae")
    assert f"{broken} cannot be loaded as StableDiffusionPipeline" in refused(broken)
    assert not [*tmp_path.glob("out/*.safetensors")]


def test_a_full_disk_is_told_of_and_leaves_no_half_file(
    bases: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        lora.train(order(photos, bases("sd15"), "sd15"), tmp_path / "out", schedule=SHORT)
    assert caught.value.hint == "free some space"
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_short_memory_is_one_line(
    bases: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(families.StableDiffusion, "errors", short)
    with pytest.raises(EngineError, match="memory is too short") as caught:
        lora.train(order(photos, bases("sd15"), "sd15"), tmp_path, schedule=SHORT)
    assert "smaller side" in caught.value.hint


@pytest.mark.parametrize("wrong", [
    {"rank": 0}, {"alpha": -1.0}, {"token": ""}, {"noun": "a\nb"}, {"layout": "webui"}, {"samples": 17}, {"prior": -1},
    {"drawn": 0}, {"weight": 11.0},
])  # fmt: skip
def test_schedules_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Schedule(**wrong)


def test_what_cannot_be_is_refused_before_anything_is_read(bases: Any, photos: Path, tmp_path: Path) -> None:
    good, out = order(photos, bases("sd15"), "sd15"), tmp_path / "out"
    for bad, schedule, where, said in (
        (replace(good, name="a/b"), SHORT, out, "cannot be called"),
        (good, replace(SHORT, side=100), out, "side is 100"),
        (replace(good, base="sd3"), SHORT, out, "sd15, sdxl, flux"), (good, SHORT, photos, "folder of the photos"),
        (Order("anna", photos, ANNA, "flux", bases("flux2")), replace(SHORT, layout="kohya"), out, "kohya"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            lora.train(bad, where, schedule=schedule)
    assert not out.exists()


def test_the_command_trains_and_tells(bases: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    me = photo(tmp_path / "me.png", (200, 200, 160))
    words = ["train", "lora", "anna", "--photos", str(me), "--base", "sd15", "--weights", str(bases("sd15"))]
    short = ["--set", "steps=1", "side=64", "rank=2", "samples=1", "drawn=1", "every=0"]
    assert cli.main([*words, *short]) == ConsentError.code
    assert "nobody's consent was named" in capsys.readouterr().err
    assert cli.main([*words, "--consent", "self", "--json", *short]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["file"], told["photos"], told["base"]) == ("anna/anna.safetensors", 1, "sd15")
    assert "vidswap: warning: only one photo to learn from" in said.err
    assert cli.main([*words, "--consent", "self", *short, "rnk=3"]) == UsageError.code
    assert cli.main([*words, "--consent", "self", *short]) == 0
    assert "called by the words: ohwx person" in capsys.readouterr().out
