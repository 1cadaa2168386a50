"""FLUX in latents: on tiny weights in the hub's own layout, held against diffusers' own pipelines."""

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_flux
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2 import pipeline_flux2_klein_inpaint
from safetensors.torch import load_file, save_file
from tiny_flux import BUILDERS, klein, tiny_taef2

from vidswap.errors import ModelError, UsageError
from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.models import hub
from vidswap.progress import quiet
from vidswap.swap.codecs import Shifted
from vidswap.swap.engines import flux as engine_flux
from vidswap.swap.engines import warp
from vidswap.swap.engines.flux import Settings, check_folder, load, models
from vidswap.swap.flux import VARIANTS, flux_levels, shift_of
from vidswap.swap.latent import Painter, Start
from vidswap.swap.placement import Placed, Placement
from vidswap.swap.portraits import portrait, portraits
from vidswap.swap.sampler import noise
from vidswap.swap.taef2 import load_taef2
from vidswap.swap.tokens import from_tokens, places, tokens, word_places

SIZE = 64  # of a picture in the tests: 8 x 8 latents, 16 tokens
PLAIN = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("flux")
    return {name: build(root / name) for name, build in BUILDERS.items()} | {
        "base": klein(root / "base", distilled=False)
    }


# -- tokens and places, as diffusers has them --------------------------------------------------------------------------


def test_tokens_are_those_of_both_families():
    from diffusers import Flux2KleinInpaintPipeline as Second
    from diffusers import FluxFillPipeline as First

    latents = torch.randn(2, 4, 8, 6)
    found = tokens(latents)
    assert torch.equal(found, First._pack_latents(latents, 2, 4, 8, 6))
    assert torch.equal(found, Second._pack_latents(Second._patchify_latents(latents)))
    assert torch.equal(from_tokens(found, 8, 6), latents)


def test_places_are_those_of_both_families():
    from diffusers import Flux2KleinInpaintPipeline as Second
    from diffusers import FluxFillPipeline as First

    whole = torch.zeros(1, 16, 4, 3)
    own, others = Second._prepare_latent_ids(whole), Second._prepare_image_ids([whole, whole], 1)
    assert torch.equal(places(8, 6, 2, 4), torch.cat([own, others], 1)[0].float())
    assert torch.equal(word_places(5, 4), Second._prepare_text_ids(torch.zeros(1, 5, 2))[0].float())
    assert torch.equal(places(8, 6, 0, 3), First._prepare_latent_image_ids(1, 4, 3, "cpu", torch.float32))
    assert places(8, 6, 2, 3)[:, 0].tolist() == [0] * 12 + [1] * 12 + [2] * 12


# -- our loop is diffusers' own ----------------------------------------------------------------------------------------


@pytest.fixture
def opened(folders):
    """opened(variant or "base", **settings) -> the engine, all of the way from noise in three steps."""
    with ExitStack() as life:

        def opened(name: str, **options) -> Painter:
            usual = {"size": SIZE, "complexion": "actor", "smooth": 0.0, "strength": 1.0, "steps": 3, **PLAIN}
            variant = "klein" if name == "base" else name
            return life.enter_context(load(Settings(variant=variant, weights=folders[name], **usual | options)))

        yield opened


def a_start(model, identity, count=2):
    """A window of smooth pictures, of which whole tokens may be painted."""
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.uniform(-1, 1, (count, 3, 5, 5)).astype(np.float32))
    pictures = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(-1, 1)
    masks = torch.zeros(count, 1, SIZE, SIZE)
    masks[:, :, 16:48, 32:] = 1
    latents = model.encode(pictures)
    free = torch.nn.functional.interpolate(masks, size=latents.shape[-2:], mode="area")
    return Start(Face(count), identity, pictures, masks, latents, free)


class Face(list):
    """What of a window's crops its noise hangs on."""

    track, start = 7, 3

    def __init__(self, count):
        super().__init__(range(count))


def painted(painter, start):
    with torch.inference_mode():
        return painter.model.decode(painter._painted(start, None, quiet))


def asked_of_diffusers(kind, folder, start, **words):
    """What a stock pipeline makes of the same window, noise and prompt, as pictures in [-1, 1]."""
    pipeline = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    size = {"height": SIZE, "width": SIZE}
    with torch.inference_mode():
        found = pipeline(image=(start.pictures + 1) / 2, mask_image=start.masks, output_type="pt", **size, **words)
    return found.images * 2 - 1


def noise_of(start):
    return torch.stack([noise(0, 7, 3 + row, start.latents.shape[1:]) for row in range(len(start.crops))])


def many(told, count=2):
    return told.expand(count, *told.shape[1:])


@pytest.fixture
def modal(monkeypatch):
    """Diffusers' pipelines draw latents of a picture by chance; ours take the likeliest."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


@pytest.mark.parametrize(("name", "count"), [("klein", 1), ("klein", 3), ("base", 1)])
def test_klein_paints_as_diffusers_does(opened, folders, identity, name, count):
    """With one photo and several, and guided by a prompt of nothing where it is not distilled."""
    from diffusers import Flux2KleinInpaintPipeline

    identity = replace(identity, photos=identity.photos * count, meshes=identity.meshes * count)
    painter = opened(name, guidance=4.0, photos=8)
    start = a_start(painter.model, identity)
    words = painter.model.words
    shown = torch.from_numpy(np.stack(portraits(identity, SIZE)).transpose(0, 3, 1, 2) / 255)
    told = {"prompt_embeds": many(words.told), "guidance_scale": 4.0}
    if name == "base":
        told["negative_prompt_embeds"] = many(words.nothing)
    stock = asked_of_diffusers(
        Flux2KleinInpaintPipeline, folders[name], start, image_reference=shown, strength=1.0, num_inference_steps=3,
        latents=torch.nn.functional.pixel_unshuffle(noise_of(start), 2), **told,
    )  # fmt: skip
    alike(painted(painter, start), stock)


def test_klein_starts_from_some_noise_as_diffusers_does(opened, folders, identity, monkeypatch):
    """Which there begins at the first of the levels that it is given, with the picture below its noise."""
    painter = opened("klein", strength=0.5, steps=2)
    start, levels = a_start(painter.model, identity), painter.model.levels
    shift = np.exp(shift_of(VARIANTS["klein"], (SIZE // 16) ** 2, 2, {}))
    first = 0.5 / (0.5 + shift * 0.5)
    drawn = torch.nn.functional.pixel_unshuffle(noise_of(start), 2)
    monkeypatch.setattr(pipeline_flux2_klein_inpaint, "randn_tensor", lambda *_, **__: drawn)
    shown = torch.from_numpy(np.stack(portraits(identity, SIZE)).transpose(0, 3, 1, 2) / 255)
    stock = asked_of_diffusers(
        pipeline_flux2_klein_inpaint.Flux2KleinInpaintPipeline, folders["klein"], start, image_reference=shown,
        strength=1.0, num_inference_steps=2, sigmas=[first, first / 2], prompt_embeds=many(painter.model.words.told),
    )  # fmt: skip
    assert levels.sigmas[0] == pytest.approx(0.5, abs=1e-3)
    assert (painted(painter, start).clamp(-1, 1) - stock).abs().max() < 1e-3


def alike(ours, stock):
    assert stock.std() > 0.02
    assert (ours.clamp(-1, 1) - stock).abs().max() < 1e-4


def test_fill_paints_as_diffusers_does(opened, folders, identity, modal):
    from diffusers import FluxFillPipeline

    painter = opened("fill")
    start = a_start(painter.model, identity)
    ragged = torch.from_numpy(np.random.default_rng(2).integers(0, 2, start.masks.shape, np.uint8)).float()
    start = replace(start, masks=ragged, free=torch.ones_like(start.free))  # what is no hole is left to it as well
    words = painter.model.words
    stock = asked_of_diffusers(
        FluxFillPipeline, folders["fill"], start, strength=1.0, num_inference_steps=3, guidance_scale=30.0,
        latents=tokens(noise_of(start)), prompt_embeds=many(words.told), pooled_prompt_embeds=many(words.pooled),
    )  # fmt: skip
    alike(painted(painter, start), stock)


def test_kontext_paints_as_diffusers_does(opened, folders, identity, modal):
    from diffusers import FluxKontextInpaintPipeline

    painter = opened("kontext")
    start = a_start(painter.model, identity)
    words = painter.model.words
    shown = torch.from_numpy(np.stack(portraits(identity, SIZE)).transpose(0, 3, 1, 2) / 255)
    stock = asked_of_diffusers(
        FluxKontextInpaintPipeline, folders["kontext"], start, image_reference=shown, strength=1.0,
        num_inference_steps=3, guidance_scale=2.5, latents=noise_of(start), prompt_embeds=many(words.told),
        pooled_prompt_embeds=many(words.pooled), max_area=SIZE * SIZE, _auto_resize=False,
    )  # fmt: skip
    alike(painted(painter, start), stock)


@pytest.mark.parametrize("name", ["klein", "fill"])
@pytest.mark.parametrize("shifted", [True, False])
def test_strength_is_the_noise_that_it_starts_from(name, shifted):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=shifted)
    for strength, steps, size in ((1.0, 4, 512), (0.5, 4, 512), (0.5, 12, 1024), (0.05, 1, 512)):
        levels = flux_levels(VARIANTS[name], scheduler, size, steps, strength)
        assert abs(levels.sigmas[0] - strength) < 1e-3
        assert len(levels.times) == steps
        assert np.allclose(np.array(levels.times) / 1000, levels.sigmas[:-1])
        gaps = -np.diff(levels.sigmas)
        assert (gaps > 0).all()
        assert gaps[-1] == max(gaps), "it is shifted to noise: the last step is the longest"


# -- what it is told of people -----------------------------------------------------------------------------------------


def test_photos_are_shown_upright_before_grey(identity, paint, engine):
    """In the crops' framing, whatever stands around the person, and however they hold their head."""
    leant = np.array([[0.94, -0.34, 0], [0.34, 0.94, 0], [0, 0, 1]])
    mesh = geometry.posed(engine.form.mean, (120.0, leant, np.array([200.0, 200.0, 0.0])))
    photos = [paint(mesh, 400, (225, 180, 150), ground) for ground in ((40, 60, 40), (250, 20, 250))]
    shown = [portrait(photo, mesh, 128) for photo in photos]
    for picture in shown:
        assert np.allclose(picture[:10, :10], 127.5)
        assert np.allclose(picture[-6:], 127.5)
        assert np.abs(picture[58:70, 58:70].mean((0, 1)) - (225, 180, 150)).max() < 25, "the face is in the middle"
    placed = geometry.apply(geometry.crop_transform(mesh, mean_face(), 128), mesh)
    assert abs(placed[10, 0] - placed[152, 0]) < 2, "forehead above chin"
    edge = np.abs(shown[0] - shown[1]).max(-1) > 1
    assert 0.05 < edge.mean() < 0.45, "some of what is around a head is left, most is not"


def test_photos_beyond_the_wanted_are_not_shown(opened, identity):
    many = replace(identity, photos=identity.photos * 6, meshes=identity.meshes * 6)
    model = opened("klein").model
    start = a_start(model, many)
    assert [len(replace(model, photos=most)._photos(start)) for most in (1, 2, 8)] == [1, 2, 6]


@pytest.mark.parametrize("name", ["klein", "fill", "kontext"])
def test_the_actors_face_is_told_to_nobody(name, opened, identity, window, monkeypatch):
    """With the warp's light held fixed, where the face is and what lies before it, another face in its place gives the
    same answer, to the bit; another scene does not. It is changed where the selfie lies over all of it: not at its rim,
    and the mouth is the actor's."""
    engine, crops = opened(name, size=128, strength=0.7), window(1, size=128)
    lips = np.zeros((128, 128), np.uint8)
    cv2.fillPoly(lips, [np.rint(crops.mesh[0][landmarks.INNER_LIPS, :2]).astype(np.int32)], 1)
    over = (engine.base.frames(crops, identity)[0].alpha > 0.9999).astype(np.uint8)
    face = (cv2.erode(over, np.ones((9, 9))) > cv2.dilate(lips, np.ones((13, 13)))) & (crops.mask[0] == 1)
    assert face.mean() > 0.07, "eyes, nose, cheeks"
    other, elsewhere = (replace(crops, rgb=crops.rgb.copy()) for _ in range(2))
    other.rgb[0][face] = np.random.default_rng(0).integers(0, 256, (int(face.sum()), 3), np.uint8)
    elsewhere.rgb[:, :8] = 255

    def answers():
        return [engine.swap(each, identity, None, quiet) for each in (crops, other, elsewhere)]

    one, another, _ = answers()
    assert not np.array_equal(one.rgb, another.rgb), "the scene's light is told from it"
    monkeypatch.setattr(warp.match, "relight", lambda face, *_: face.astype(np.float32))
    monkeypatch.setattr(warp.Warp, "tone", lambda *_: warp.match.Tone())
    monkeypatch.setattr(warp, "steadied", lambda _rgb, mesh, _mask: mesh)
    monkeypatch.setattr(warp.Warp, "before", lambda _self, wide, _crops: [
        warp.Before(np.zeros(mask.shape, np.float32)) for mask in wide.mask])  # fmt: skip
    one, same, another = answers()
    assert np.array_equal(one.rgb, same.rgb)
    assert np.array_equal(one.latents, same.latents)
    assert not np.array_equal(one.latents, another.latents)


@pytest.mark.parametrize("name", ["klein", "fill", "kontext"])
def test_of_the_crops_nothing_is_seen_but_through_the_warp(name, opened, identity, window, monkeypatch):
    """All of the actor's face, its mouth and rim too: what the warp has drawn is all that the models are told."""
    engine, crops = opened(name, size=128, complexion="own"), window(1, size=128, margin=32)
    other = replace(crops, rgb=crops.rgb.copy())
    other.rgb[crops.mask > 0] = 255 - other.rgb[crops.mask > 0]
    drawn = engine.base.frames(crops, identity)
    monkeypatch.setattr(warp.Warp, "frames", lambda *_: drawn)
    one, same = (engine.swap(each, identity, None, quiet) for each in (crops, other))
    inside = crops.mask > 0.99
    assert np.array_equal(one.rgb[inside], same.rgb[inside])
    assert np.array_equal(one.latents, same.latents)


# -- folders, LoRAs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "held", "hint"), [
    ("klein", "kontext", "choose `flux.variant` kontext, or name a folder of flux2-klein"),
    ("fill", "klein", "choose `flux.variant` klein, or name a folder of flux1-fill"),
    ("kontext", "fill", "choose `flux.variant` fill, or name a folder of flux1-kontext"),
])  # fmt: skip
def test_a_folder_of_another_model_is_named(name, held, hint, folders):
    with (
        pytest.raises(ModelError, match=r"holds a Flux.*Pipeline, not FLUX") as caught,
        load(Settings(variant=name, weights=folders[held], **PLAIN)),
    ):
        pass
    assert caught.value.hint == hint


def test_the_large_klein_is_not_taken_for_the_small_one(folders, tmp_path):
    """Its licence is another."""
    large = shutil.copytree(folders["klein"], tmp_path / "large")
    config = large / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"joint_attention_dim": 48', '"joint_attention_dim": 12288'))
    with pytest.raises(ModelError, match="klein of 9 billion weights, not of 4") as caught:
        check_folder(large, VARIANTS["klein"])
    assert "non" not in caught.value.message
    assert "klein9, whose licence forbids commercial use" in caught.value.hint
    check_folder(large, VARIANTS["klein9"])


def cut(file):
    file.write_bytes(file.read_bytes()[:-50])


def emptied(file):
    weights = load_file(file)
    weights.pop(next(name for name in weights if "transformer_blocks" in name))
    save_file(weights, file)


@pytest.mark.parametrize(("path", "harm", "said"), [
    ("transformer/diffusion_pytorch_model.safetensors", cut, "is no safetensors"),
    ("transformer/diffusion_pytorch_model.safetensors", emptied, "lacks 1 of its weights"),
    ("transformer/diffusion_pytorch_model.safetensors", Path.unlink, "diffusion_pytorch_model"),
    ("transformer/config.json", cut, "a table of FLUX: Unterminated"),
    ("text_encoder/model.safetensors", Path.unlink, "model.safetensors"),
    ("tokenizer/tokenizer.json", Path.unlink, "tokenizer has no words"),
    ("vae/config.json", Path.unlink, "config.json"),
    ("scheduler/scheduler_config.json", Path.unlink, "scheduler"),
])  # fmt: skip
def test_what_is_missing_or_damaged_is_one_line(path, harm, said, folders, tmp_path):
    folder = shutil.copytree(folders["klein"], tmp_path / "klein")
    harm(folder / path)
    with pytest.raises(ModelError, match=said) as caught, load(Settings(weights=folder, **PLAIN)):
        pass
    assert "\n" not in str(caught.value)
    assert str(folder) in caught.value.message


def test_two_loras_are_both_there_in_either_layout(opened, folders, identity, window, tmp_path):
    crops, home = window(1, size=64), folders["klein"]
    files = [tiny_flux.lora(tmp_path / f"{seed}.safetensors", home, seed=seed) for seed in (0, 1)]
    kohya = tiny_flux.lora(tmp_path / "kohya.safetensors", home, "kohya")

    def answer(*loras):
        return opened("klein", steps=1, lora=loras).swap(crops, identity, None, quiet).latents

    none, one, other, both, as_kohya = (
        answer(*loras) for loras in ((), files[:1], files[1:], files, (kohya, files[1]))
    )
    half = answer(f"{files[0]}:0.5", f"{files[1]}:1.0")
    for seen in (one, other, both):
        assert np.abs(seen - none).mean() > 0.003
    assert np.abs(both - one).mean() > 0.003
    assert np.abs(both - other).mean() > 0.003
    assert np.abs(half - both).mean() > 0.001
    assert np.abs(as_kohya - both).max() < 1e-4


def test_a_lora_calls_its_person_in_the_prompt(tmp_path):
    file = tmp_path / "anna.safetensors"
    save_file({"a": torch.ones(1)}, file, {"modelspec.trigger_phrase": "ohwx person"})
    usual = engine_flux.prompt_of(Settings())
    assert engine_flux.prompt_of(Settings(lora=file)) == f"ohwx person, {usual}"
    assert engine_flux.prompt_of(Settings(lora=file, prompt="an ohwx person")) == "an ohwx person"


def test_a_lora_of_flux_1_may_change_how_the_prompt_is_read(opened, folders, tmp_path):
    """In kohya's files it does, by CLIP's layers beside the transformer's."""
    plain = tiny_flux.lora(tmp_path / "plain.safetensors", folders["kontext"], "kohya")
    read, draw = {}, torch.Generator().manual_seed(0)
    for layer in ("q_proj", "out_proj"):
        name = f"lora_te1_text_model_encoder_layers_0_self_attn_{layer}"
        read |= {f"{name}.lora_down.weight": torch.randn(2, 32, generator=draw),
                 f"{name}.lora_up.weight": torch.randn(32, 2, generator=draw),
                 f"{name}.alpha": torch.tensor(2.0)}  # fmt: skip
    save_file(load_file(plain) | read, tmp_path / "both.safetensors")
    none, one, both = (
        opened("kontext", lora=files).model.words.pooled for files in ((), plain, tmp_path / "both.safetensors")
    )
    assert torch.equal(none, one)
    assert (both - none).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "held"), [("klein", "kontext"), ("kontext", "klein")])
def test_a_lora_of_another_base_is_refused(name, held, opened, folders, tmp_path):
    file = tiny_flux.lora(tmp_path / "other.safetensors", folders[held])
    with pytest.raises(ModelError, match="is no LoRA of FLUX"):
        opened(name, lora=file)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_models_are_those_that_it_opens():
    assert models(Settings()) == ("flux2-klein",)
    assert models(Settings(vae="tiny")) == ("flux2-klein", "taef2")
    assert [models(Settings(variant=name)) for name in ("klein9", "fill", "kontext")] == [
        ("flux2-klein-9b",), ("flux1-fill",), ("flux1-kontext",)
    ]  # fmt: skip
    allowed = [name for name, variant in VARIANTS.items() if hub.entry(variant.base).commercial]
    assert allowed == ["klein"]


def test_only_klein_has_a_tiny_autoencoder():
    with pytest.raises(UsageError, match=r"`flux\.vae` is tiny, which FLUX\.1 fill has none of"):
        Settings(variant="fill", vae="tiny")


def test_the_prompt_is_heeded_and_guides(opened, identity, window):
    """In klein of few steps guidance is nothing; in its base it is the difference to a prompt of nothing."""
    crops = window(1, size=64)

    def answer(name, **options):
        return opened(name, **options).swap(crops, identity, None, quiet).latents

    for name in ("klein", "kontext"):
        assert not np.array_equal(answer(name), answer(name, prompt="a horse"))
    for name, heeded in (("klein", False), ("base", True), ("fill", True)):
        assert np.array_equal(answer(name, guidance=2.0), answer(name, guidance=7.0)) != heeded


def test_what_has_read_the_prompt_is_gone_before_the_transformer_comes(opened, monkeypatch):
    known, read = [], engine_flux.network

    def network(kind, folder, dtype):
        known.append(read(kind, folder, dtype))
        if folder.name == "transformer":
            assert all(weights.is_meta for weights in known[0].parameters())
        return known[-1]

    monkeypatch.setattr(engine_flux, "network", network)
    for name in ("klein", "kontext"):
        known.clear()
        opened(name)
        assert len(known) > 2


@pytest.mark.parametrize(("vram", "where"), [(None, "cuda"), (24.0, "cuda"), (8.0, "cpu")])
def test_the_prompt_is_read_on_the_card_where_there_is_room(vram, where):
    assert engine_flux.reader_of(VARIANTS["klein"], "cuda", "bfloat16", vram).device == where


def test_flux_never_computes_in_float16_unless_told():
    assert engine_flux.numbers("auto", "cuda") == "bfloat16"
    assert engine_flux.numbers("float16", "cuda") == "float16"


# -- the tiny autoencoder ----------------------------------------------------------------------------------------------


def test_the_tiny_autoencoder_is_read_as_its_maker_publishes_it(tmp_path):
    tiny = load_taef2(tiny_taef2(tmp_path / "taef2.safetensors"), torch.float32)
    codec, pictures = Shifted(tiny, Placed(Placement("cpu", "float32"), ())), torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        latents = codec.encode(pictures)
        assert latents.shape == (2, 32, 4, 6)
        assert codec.decode(latents).shape == pictures.shape
        for half, coarse in (("encoder", (11, 12, 13)), ("decoder", (2, 3, 4))):
            names = {name for name, _ in tiny.named_parameters() if name.startswith(half) and ".pool." in name}
            assert {name.split(".")[2] for name in names} == {str(place) for place in coarse}
        moved = codec.encode(torch.cat([pictures[:, :, :, :24], -pictures[:, :, :, 24:]], 3))
    assert not torch.equal(moved[..., 0], latents[..., 0]), "its coarse blocks look at the whole picture"


def test_another_file_is_no_tiny_autoencoder(tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(tiny_taef2(tmp_path / "whole.safetensors").read_bytes()[:-100])
    save_file({"encoder.layers.0.bias": torch.zeros(8)}, tmp_path / "other.safetensors")
    for name in ("torn", "other", "missing"):
        with pytest.raises(ModelError, match=f"{name}.safetensors is not taef2") as caught:
            load_taef2(tmp_path / f"{name}.safetensors", torch.float32)
        assert "\n" not in str(caught.value)
        assert "models pull taef2" in caught.value.hint
