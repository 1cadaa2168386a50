"""Stable Diffusion's engines, opened from folders as the hub has them: our loop is diffusers' own, and what is missing,
damaged or of another kind is one line."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from vidswap.errors import EngineError, ModelError, UsageError
from vidswap.models import hub
from vidswap.progress import quiet
from vidswap.swap import guides, stable
from vidswap.swap.engine import load_engine, settings_of
from vidswap.swap.engines import sd15, sdxl
from vidswap.swap.guides import for_each, is_guided
from vidswap.swap.latent import Start
from vidswap.swap.sampler import sample
from vidswap.types import EngineChoice

BASES = {"sd15": sd15.BASE, "sdxl": sdxl.BASE}
SIZE = 64


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "home", lambda: folder)
        yield tiny.pulled(folder, "sd15", "sd15-inpainting", "sdxl", "sdxl-inpainting", "taesd", "animatediff-sd15",
                          "lcm-sd15")  # fmt: skip


@pytest.fixture
def opened(home):
    """opened(name, **settings) -> the engine, a context."""

    def opened(name: str, **settings: object):
        given = {"size": SIZE, "device": "cpu", "dtype": "float32", "complexion": "actor"} | settings
        return load_engine(EngineChoice(name, tuple(given.items())))

    return opened


@pytest.fixture
def crops(window):
    return window(2, size=SIZE)


def start_of(model, crops, identity) -> Start:
    """Something to paint from: noise with a masked middle."""
    count = len(crops)
    draw = torch.Generator().manual_seed(1)
    pictures = torch.rand(count, 3, SIZE, SIZE, generator=draw) * 2 - 1
    masks = torch.zeros(count, 1, SIZE, SIZE)
    masks[:, :, 16:48, 16:48] = 1
    latents = model.encode(pictures)
    return Start(crops, identity, pictures, masks, latents, masks[..., ::8, ::8])


# -- our loop is diffusers' -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [("sd15", True, 3.0), ("sd15", False, 1.0), ("sdxl", True, 1.0), ("sdxl", False, 3.0)])
def test_painting_all_is_what_diffusers_own_pipelines_make(opened, home, crops, identity, case):
    """DDIM over the whole way, from the same noise, the same words, the same mask."""
    name, inpainting, guidance = case
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline

    words = {"steps": 4, "strength": 1.0, "guidance": guidance, "prompt": "a face", "against": "blurry"}
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    with opened(name, inpainting=inpainting, **words) as engine, torch.inference_mode():
        model = engine.engine.model
        start = start_of(model, crops, identity)
        network = model.predictor(start)
        denoise = model.levels.denoiser(lambda x, time: network(x, time, slice(0, 2)))
        first = (1 + model.levels.sigmas[0] ** 2) ** 0.5
        *_, ours = sample(denoise, noise * first, model.levels.sigmas)
        around = model.encode(start.pictures * (1 - start.masks))

    kind = StableDiffusionInpaintPipeline if name == "sd15" else StableDiffusionXLInpaintPipeline
    parts = {"safety_checker": None, "feature_extractor": None} if name == "sd15" else {}
    stock = kind.from_pretrained(home / (name + "-inpainting" * inpainting), local_files_only=True, **parts)
    stock.set_progress_bar_config(disable=True)
    known = stock.scheduler.config
    stock.scheduler = DDIMScheduler.from_config(known, timestep_spacing="trailing", set_alpha_to_one=True)
    mask = start.masks if inpainting else torch.ones_like(start.masks)  # a plain one would keep all beside the mask
    theirs = stock(prompt=["a face"] * 2, negative_prompt=["blurry"] * 2, image=start.pictures / 2 + 0.5,
                   mask_image=mask, masked_image_latents=around if inpainting else None, strength=1.0,
                   num_inference_steps=4, guidance_scale=guidance, height=SIZE, width=SIZE, latents=noise,
                   output_type="latent").images  # fmt: skip
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert ours.std() > 0.1


def test_a_network_that_sees_motion_is_asked_as_diffusers_asks_it(opened, window, identity):
    """All frames at once, each half of the guidance told its words once; and what it gives depends on neighbours."""
    with opened("sd15", motion="animatediff", guidance=2.0) as engine, torch.inference_mode():
        model = engine.engine.model
        start = start_of(model, window(3, size=SIZE), identity)
        x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
        network, shown = model.predictor(start), model._shown(start)
        found = network(x, 500.0, slice(0, 3))
        seen = torch.cat([x, shown], 1).transpose(0, 1)[None]
        nobody, told = (model.network(seen, 500.0, words, return_dict=False)[0]
                        for words in model.prompt.words[:, None].repeat(1, 3, 1, 1))  # fmt: skip
        assert torch.allclose(found, (nobody + 2.0 * (told - nobody))[0].transpose(0, 1), atol=1e-4)
        assert not torch.allclose(network(x[:1], 500.0, slice(0, 1)), found[:1], atol=1e-3)
        assert engine.engine.exact
        crops = window(6, size=SIZE)
        assert engine.swap(crops, identity, None, quiet).rgb.shape == crops.rgb.shape


def test_captions_count_and_their_readers_are_gone(opened, window, identity):
    crops, answers = window(1, size=SIZE), []
    for prompt in ("a face", "a face", "an old king"):
        with opened("sdxl", prompt=prompt, strength=1.0, steps=2) as engine:
            parts = engine.engine.model.pipeline.components
            assert all(parts[name] is None for name in parts if name.startswith(("text_encoder", "tokenizer")))
            answers.append(engine.swap(crops, identity, None, quiet))
    assert (answers[0].rgb == answers[1].rgb).all()
    assert (answers[0].latents != answers[2].latents).any()


def test_few_steps_come_by_a_lora_of_their_own(opened, window, identity):
    with opened("sd15", scheduler="lcm") as few, opened("sd15") as many:
        assert few.engine.model.renoised
        assert few.engine.model.guidance == 1
        assert len(few.engine.model.levels.times) == 3
        assert len(many.engine.model.levels.times) == 7
        name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
        own, plain = (each.engine.network.get_parameter(name) for each in (few, many))
        assert not torch.allclose(own, plain)
        few.swap(window(1, size=SIZE), identity, None, quiet)


def test_the_tiny_autoencoder_stands_for_the_bases(opened, window, identity):
    with opened("sd15", vae="tiny") as engine:
        assert type(engine.engine.model.pipeline.vae).__name__ == "AutoencoderTiny"
        engine.swap(window(1, size=SIZE), identity, None, quiet)


@pytest.mark.parametrize(("name", "dtype"), [("sd15", "float16"), ("sd15", "bfloat16"), ("sdxl", "float16")])
def test_in_16_bits_it_paints_about_the_same(opened, crops, identity, name, dtype):
    with opened(name) as engine:
        whole = engine.swap(crops, identity, None, quiet)
    with opened(name, dtype=dtype) as engine:
        parts = engine.engine.model.pipeline
        half = engine.swap(crops, identity, None, quiet)
    assert str(parts.unet.dtype) == f"torch.{dtype}"
    assert str(parts.vae.dtype) == ("torch.float32" if name == "sdxl" else f"torch.{dtype}"), "where 16 bits overflow"
    assert abs(half.rgb.astype(float) - whole.rgb).mean() < 3


def test_weights_are_read_under_the_names_that_they_once_had(opened, home):
    with opened("sd15", inpainting=False) as engine:
        pipeline = engine.engine.model.pipeline
        known = load_file(home / "sd15" / "vae" / "diffusion_pytorch_model.safetensors")
        attention = pipeline.vae.get_submodule("decoder.mid_block.attentions.0")
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            kept = known[f"decoder.mid_block.attentions.0.{old}.weight"]
            assert torch.equal(attention.get_submodule(new).weight, kept)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_card_that_is_too_small_gives_the_same_picture_in_smaller_batches(opened, window, identity, monkeypatch):
    crops, asked = window(5, size=SIZE), []
    with opened("sd15", guidance=3.0) as engine:
        whole = engine.swap(crops, identity, None, quiet)
        forward = engine.engine.network.forward

        def short(sample, *given, **words):
            asked.append(len(sample))
            if len(sample) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(sample, *given, **words)

        monkeypatch.setattr(engine.engine.network, "forward", short)
        parts = engine.swap(crops, identity, None, quiet)
        assert abs(parts.rgb.astype(int) - whole.rgb).max() <= 1
        assert asked[:4] == [10, 4, 4, 2]
        assert max(asked[1:]) == 4
        monkeypatch.setattr(engine.engine.network, "forward", lambda *_, **__: short(torch.zeros(9)))
        with pytest.raises(EngineError, match="even for one frame"):
            engine.swap(crops, identity, None, quiet)


# -- guides -----------------------------------------------------------------------------------------------------------


class Pull:
    """A guide that moves what the UNet sees by how much it is told."""

    key, memory = "pull", 0.0

    def __init__(self) -> None:
        self.told = []

    def apply(self, pipeline):
        self.told.append([name for name, part in pipeline.components.items() if part is None])

    def steer(self, pipeline, start):
        def steer(call, rows):
            pair = for_each(torch.tensor([[0.0], [1.0]]), call, rows)
            self.told.append((rows.start, rows.stop, is_guided(call, rows), pair[:, 0].tolist()))
            return call | {"sample": call["sample"] + 5 * pair[..., None, None]}

        return steer


@pytest.mark.parametrize("case", [(3.0, [0.0, 0.0, 1.0, 1.0]), (1.0, [1.0, 1.0])])
def test_a_guide_adds_to_the_calls_of_a_window(opened, crops, identity, monkeypatch, case):
    pull, (guidance, pair) = Pull(), case
    with opened("sd15", guidance=guidance) as engine:
        plain = engine.swap(crops, identity, None, quiet)
        key = engine.key
    monkeypatch.setattr(stable, "guides_of", lambda _base, _settings: (pull,))
    with opened("sd15", guidance=guidance) as engine:
        guided = engine.swap(crops, identity, None, quiet)
        assert engine.key != key
    assert {"text_encoder", "tokenizer"} <= set(pull.told[0])
    assert pull.told[1] == (0, 2, guidance > 1, pair)
    assert (guided.latents != plain.latents).any()


def test_no_guide_is_chosen_if_nothing_is_said():
    for name in BASES:
        usual = settings_of(EngineChoice(name))
        assert usual.adapter == "none"
        assert guides.guides_of(name, usual) == ()


# -- what is opened, and refused --------------------------------------------------------------------------------------


def test_which_models_are_opened_is_told_by_the_settings():
    for name, base in BASES.items():
        def opens(name=name, base=base, **settings):
            return stable.models(base, settings_of(EngineChoice(name, tuple(settings.items()))))

        assert opens() == (f"{name}-inpainting",)
        assert opens(inpainting=False, scheduler="tcd", vae="tiny") == (name, f"tcd-{name}", base.tiny)
        assert all(model in hub.entries() for way in stable.WAYS for model in opens(scheduler=way, vae="tiny"))
    moving = settings_of(EngineChoice("sd15", (("motion", "animatediff"),)))
    assert sd15.models(moving) == ("sd15-inpainting", "animatediff-sd15")


def test_a_model_that_is_missing_is_told_with_the_command_that_gets_it(opened):
    with pytest.raises(ModelError, match="'hyper-sd15' is not here") as caught, opened("sd15", scheduler="hyper"):
        pass
    assert "vidswap models pull hyper-sd15" in str(caught.value)


def other(home: Path, place: Path, change) -> str:
    """A folder of weights with something done to it."""
    shutil.copytree(home / "sd15", place)
    change(place)
    return str(place)


def shortened(file: Path) -> None:
    weights = load_file(file)
    weights.popitem()
    save_file(weights, file, {"format": "pt"})


def edited(file: Path, **changed: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.mark.parametrize(("change", "said"), [
    (lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "diffusion_pytorch_model"),
    (lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").rename(f / "unet" / "diffusion_pytorch_model.bin"),
     "diffusion_pytorch_model"),
    (lambda f: (f / "vae" / "config.json").write_text("[]"), "vae/config.json"),
    (lambda f: (f / "unet" / "config.json").unlink(), "config.json"),
    (lambda f: edited(f / "unet" / "config.json", in_channels=8), "takes 8 channels"),
    (lambda f: edited(f / "unet" / "config.json", block_out_channels=[16, 48]), ""),
    (lambda f: edited(f / "unet" / "config.json", layers_per_block=2), "Cannot load"),
    (lambda f: shortened(f / "unet" / "diffusion_pytorch_model.safetensors"), "unet lacks 1 of its weights"),
    (lambda f: shortened(f / "text_encoder" / "model.safetensors"), "text_encoder lacks 1 of its weights"),
    (lambda f: (f / "text_encoder" / "model.safetensors").write_bytes(b"<html>"), "web page"),
    (lambda f: (f / "text_encoder" / "model.safetensors").unlink(), ""),
    (lambda f: (f / "tokenizer" / "vocab.json").unlink(), ""),
    (lambda f: (f / "scheduler" / "scheduler_config.json").unlink(), "scheduler"),
    (lambda f: (f / "model_index.json").unlink(), "model_index.json"),
], ids=["no weights", "a pickle", "no table", "no config", "channels", "widths", "other", "lacking", "text", "page",
        "no text", "no words", "no scheduler", "no index"])  # fmt: skip
def test_a_folder_that_cannot_be_is_refused_in_one_line(opened, home, tmp_path, change, said):
    place = other(home, tmp_path / "mine", change)
    with pytest.raises(ModelError) as caught, opened("sd15", weights=place):
        pass
    assert place in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_the_other_base_is_refused(opened, home):
    with pytest.raises(ModelError, match=r"as Stable Diffusion 1\.5: its UNet is of Stable Diffusion XL"), \
            opened("sd15", weights=str(home / "sdxl")):  # fmt: skip
        pass
    with pytest.raises(ModelError, match="as Stable Diffusion XL: its UNet is not of"), \
            opened("sdxl", weights=str(home / "sd15")):  # fmt: skip
        pass


def test_a_folder_of_16_bit_files_alone_is_opened(opened, home, tmp_path):
    def halve(folder):
        for file in [*folder.glob("*/*.safetensors")]:
            file.rename(file.with_suffix("").with_suffix(".fp16.safetensors"))

    with opened("sd15", weights=other(home, tmp_path / "half", halve)) as half, opened("sd15", inpainting=False) as own:
        weights = [engine.engine.network.state_dict()["conv_in.weight"] for engine in (half, own)]
        assert torch.equal(*weights)


@pytest.mark.parametrize(("name", "value"), [
    ("size", 100), ("size", 0), ("size", "x"), ("strength", 0), ("strength", 2), ("guidance", 0.5), ("device", "gpu"),
    ("vram", 0), ("scheduler", "euler"), ("adapter", "face"), ("lora", "a.safetensors:9"), ("steps", 0),
])  # fmt: skip
def test_what_a_setting_cannot_be_is_refused_by_its_name(name, value):
    for engine in BASES:
        with pytest.raises(UsageError, match=f"^`{engine}.{name}` is "):
            settings_of(EngineChoice(engine, ((name, value),)))


def test_more_steps_than_a_scheduler_knows_are_refused(opened):
    given = {"scheduler": "lcm", "steps": 60}
    with pytest.raises(UsageError, match="scheduler lcm cannot walk in 60 steps"), opened("sd15", **given):
        pass


def test_a_caption_that_would_be_cut_is_refused(opened):
    for name in ("prompt", "against"):
        with pytest.raises(UsageError, match="too long, 102 tokens"), opened("sd15", **{name: "a" * 100}):
            pass


def test_a_device_that_is_not_there_is_refused(opened):
    with pytest.raises(UsageError, match="has no cuda:7"), opened("sd15", device="cuda:7"):
        pass
