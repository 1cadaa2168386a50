"""FLUX in latents: on tiny weights in the hub's own layout, held against diffusers' own pipelines."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_flux import BUILDERS, klein, tiny_taef2

from vidswap.errors import ModelError
from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.progress import quiet
from vidswap.swap.engine import Needs
from vidswap.swap.flux import VARIANTS, Flux, Normed, Shifted, Tiny, Words, flux_levels
from vidswap.swap.latent import Painter, Start
from vidswap.swap.placement import Batches
from vidswap.swap.portraits import portrait, portraits
from vidswap.swap.sampler import noise
from vidswap.swap.taef2 import load_taef2
from vidswap.swap.tokens import from_tokens, places, tokens, word_places

SIZE = 64  # of a picture in the tests: 8 x 8 latents, 16 tokens


@pytest.fixture(scope="session")
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


CODECS = {"klein": Normed, "base": Normed, "fill": Shifted, "kontext": Shifted}


@pytest.fixture
def painter_of(engine, folders):
    """painter_of(variant, steps=3, prompt="a face") -> a Painter over components of diffusers' own pipeline."""

    def painter_of(name: str, steps: int = 3) -> Painter:
        variant = VARIANTS["klein" if name == "base" else name]
        pipeline = getattr(diffusers, variant.pipeline).from_pretrained(folders[name], local_files_only=True)
        with torch.inference_mode():
            told = pipeline.encode_prompt("a face") if variant.is_second else pipeline.encode_prompt("a face", None)
            nothing = pipeline.encode_prompt("")[0] if name == "base" else None
        model = Flux(
            variant, pipeline.transformer, CODECS[name](pipeline.vae),
            flux_levels(variant, pipeline.scheduler, SIZE, steps), Words(told[0], told[1] if len(told) > 2 else None,
            nothing), Batches(4), variant.guidance,
        )  # fmt: skip
        return Painter(replace(engine, needs=Needs(SIZE, "aligned", 8, 2)), model, "key", smooth=0.0)

    return painter_of


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
def test_klein_paints_as_diffusers_does(painter_of, folders, identity, name, count):
    """With one photo and several, and guided by a prompt of nothing where it is not distilled."""
    from diffusers import Flux2KleinInpaintPipeline

    identity = replace(identity, photos=identity.photos * count, meshes=identity.meshes * count)
    painter = painter_of(name)
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


def alike(ours, stock):
    assert stock.std() > 0.02
    assert (ours.clamp(-1, 1) - stock).abs().max() < 1e-4


def test_fill_paints_as_diffusers_does(painter_of, folders, identity, modal):
    from diffusers import FluxFillPipeline

    painter = painter_of("fill")
    start = a_start(painter.model, identity)
    ragged = torch.from_numpy(np.random.default_rng(2).integers(0, 2, start.masks.shape, np.uint8)).float()
    start = replace(start, masks=ragged, free=torch.ones_like(start.free))  # what is no hole is left to it as well
    words = painter.model.words
    stock = asked_of_diffusers(
        FluxFillPipeline, folders["fill"], start, strength=1.0, num_inference_steps=3, guidance_scale=30.0,
        latents=tokens(noise_of(start)), prompt_embeds=many(words.told), pooled_prompt_embeds=many(words.pooled),
    )  # fmt: skip
    alike(painted(painter, start), stock)


def test_kontext_paints_as_diffusers_does(painter_of, folders, identity, modal):
    from diffusers import FluxKontextInpaintPipeline

    painter = painter_of("kontext")
    start = a_start(painter.model, identity)
    words = painter.model.words
    shown = torch.from_numpy(np.stack(portraits(identity, SIZE)).transpose(0, 3, 1, 2) / 255)
    stock = asked_of_diffusers(
        FluxKontextInpaintPipeline, folders["kontext"], start, image_reference=shown, strength=1.0,
        num_inference_steps=3, guidance_scale=2.5, latents=noise_of(start), prompt_embeds=many(words.told),
        pooled_prompt_embeds=many(words.pooled), max_area=SIZE * SIZE, _auto_resize=False,
    )  # fmt: skip
    alike(painted(painter, start), stock)


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


def test_photos_beyond_the_wanted_are_not_shown(painter_of, identity):
    many = replace(identity, photos=identity.photos * 6, meshes=identity.meshes * 6)
    model = painter_of("klein").model
    start = a_start(model, many)
    assert len(model._photos(start)) == 4
    assert len(replace(model, photos=9)._photos(start)) == 6


# -- the tiny autoencoder ----------------------------------------------------------------------------------------------


def test_the_tiny_autoencoder_is_read_as_its_maker_publishes_it(tmp_path):
    tiny = load_taef2(tiny_taef2(tmp_path / "taef2.safetensors"), torch.float32)
    codec, pictures = Tiny(tiny), torch.rand(2, 3, 32, 48) * 2 - 1
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
