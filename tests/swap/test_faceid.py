"""Adapters that know a face, put into tiny UNets: as diffusers does it, and what it does wrong without a word."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import standins
import tiny
import tinyadapters
import torch
from standins import packs  # noqa: F401

from vidswap.errors import ModelError
from vidswap.models import hub
from vidswap.models.unpickle import unpickle
from vidswap.swap.faceid import KINDS, clip_pixels, halves, models, read
from vidswap.swap.guides import GUIDES, guides_of, names_of
from vidswap.swap.latent import Start

pytestmark = pytest.mark.usefixtures("packs")
CASES = [(base, name) for base, names in GUIDES.items() for name in names]
SIDE = 64


@dataclass(frozen=True)
class Asked:
    adapter: str = "none"
    control: str = "none"
    likeness: float | None = None
    structure: float = 1.0
    pose: float | None = None
    dtype: str = "float32"
    device: str = "cpu"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "home", lambda: tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def pulled(home):
    """pulled(base, adapter, seed=0): all that it opens is there."""
    return lambda base, name, seed=0: tinyadapters.pulled(home, *models(base, Asked(name)), seed=seed)


@pytest.fixture
def start(window, identity):
    """start(count, identity) -> a window of so many frames, as steers are handed it."""

    def start(count=2, person=identity):
        crops, nothing = window(count, size=SIDE), torch.zeros(count, 3, SIDE, SIDE)
        return Start(crops, person, nothing, nothing[:, :1], torch.zeros(count, 4, 8, 8), torch.ones(count, 1, 8, 8))

    return start


def pipeline(base: str, seed: int = 0, channels: int = 4):
    """One of diffusers' with nothing but a UNet."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = tiny.unet(base, channels).eval()
    nothing = dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2") if base == "sdxl" else
                            ("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))  # fmt: skip
    kind = diffusers.StableDiffusionXLInpaintPipeline if base == "sdxl" else diffusers.StableDiffusionInpaintPipeline
    more = {} if base == "sdxl" else {"requires_safety_checker": False}
    return kind(**nothing, **more, unet=unet, scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False))


def call(base: str, count: int, guided: bool = True, channels: int = 4) -> dict:
    """A UNet's arguments for a window of so many frames."""
    draw, halves = torch.Generator().manual_seed(5), 2 if guided else 1
    one = torch.randn(count, channels, 8, 8, generator=draw)
    words = torch.randn(2, 7, tiny.WIDTHS[base], generator=draw)[2 - halves :].repeat_interleave(count, 0)
    added = {}
    if base == "sdxl":
        added = {"text_embeds": torch.randn(2, 32, generator=draw)[2 - halves :].repeat_interleave(count, 0),
                 "time_ids": torch.tensor([64.0, 64, 0, 0, 64, 64]).repeat(halves * count, 1)}  # fmt: skip
    return {"sample": torch.cat([one] * halves), "timestep": torch.tensor(300.0), "encoder_hidden_states": words,
            "added_cond_kwargs": added, "return_dict": False}  # fmt: skip


def answered(pipe, told: dict) -> torch.Tensor:
    with torch.inference_mode():
        return pipe.unet(**told)[0]


def rows_of(asked: dict, rows: slice, count: int) -> dict:
    """The part of a call that is of some rows."""

    def part(value: torch.Tensor) -> torch.Tensor:
        return torch.cat([half[rows] for half in value.split(count)])

    added = {name: part(value) for name, value in asked["added_cond_kwargs"].items()}
    return asked | {name: part(asked[name]) for name in ("sample", "encoder_hidden_states")} | {
        "added_cond_kwargs": added}  # fmt: skip


def other(person):
    """Somebody else, of whom the packs of these tests tell another vector."""
    return replace(person, meshes=tuple(mesh + np.float32(9) for mesh in person.meshes))


@pytest.fixture(autouse=True)
def vectors(monkeypatch):
    """What packs tell depends on where a face is."""
    def sights(_detector, _recogniser, identity):
        draw = np.random.default_rng(round(float(identity.meshes[0][0, 0])))
        vector = draw.normal(size=512).astype(np.float32) * 3
        five = standins.five_points(identity.meshes[0])
        return (standins.vectors.Sight(identity.photos[0], five, vector),)

    monkeypatch.setattr(standins.vectors, "_sights", sights)


# -- over every adapter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "name"), CASES)
def test_another_person_is_painted_otherwise_and_in_all_frames_alike(base, name, pulled, start, identity):
    """Alone, in batches, guided or not, on a UNet for inpainting too."""
    pulled(base, name)
    for guided, channels in ((True, 4), (False, 9)):
        pipe, asked = pipeline(base, channels=channels), call(base, 3, guided, channels)
        plain = answered(pipe, asked)
        (guide,) = guides_of(base, Asked(name))
        guide.apply(pipe)
        steer, someone = (guide.steer(pipe, start(3, who)) for who in (identity, other(identity)))
        whole = answered(pipe, steer(asked, slice(0, 3)))
        assert torch.isfinite(whole).all()
        assert (whole - plain).abs().mean() > 1e-3
        apart = (answered(pipe, someone(asked, slice(0, 3))) - whole).abs()
        assert apart[-3:].mean() > 1e-4
        if guided and name != "instantid":  # without the prompt, nobody is known either
            assert apart[:3].max() == 0
        for row in range(3):
            one = answered(pipe, steer(rows_of(asked, slice(row, row + 1), 3), slice(row, row + 1)))
            expected = torch.cat([half[row : row + 1] for half in whole.split(3)])
            torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
    assert set(asked["added_cond_kwargs"]) <= {"text_embeds", "time_ids"}, "what was asked stays as it was"


@pytest.mark.parametrize(("base", "name"), CASES)
def test_without_likeness_a_person_is_nobody(base, name, pulled, start, identity):
    pulled(base, name)
    pipe, asked = pipeline(base), call(base, 2)
    (guide,) = guides_of(base, Asked(name, likeness=0.0, pose=0.0))
    guide.apply(pipe)
    answers = [answered(pipe, guide.steer(pipe, start(2, who))(asked, slice(0, 2)))
               for who in (identity, other(identity))]  # fmt: skip
    torch.testing.assert_close(*answers)


@pytest.mark.parametrize("base", ["sd15", "sdxl"])
@pytest.mark.parametrize("name", ["faceid", "faceid-plus"])
def test_it_paints_as_diffusers_own_loading_does(base, name, pulled, start, home):
    """With peft, which holds the LoRA there; and with its embeddings (2, N, 512)."""
    pulled(base, name)
    theirs, ours, asked = pipeline(base), pipeline(base), call(base, 1)
    (guide,) = guides_of(base, Asked(name))
    state = halves(guide.weights)
    theirs.feature_extractor = "none is made then"
    theirs.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    theirs.set_ip_adapter_scale(0.7)
    assert "faceid_0" in theirs.unet.peft_config
    guide.apply(ours)
    steered = guide.steer(ours, start(1))(asked, slice(0, 1))
    if name == "faceid-plus":
        layer = theirs.unet.encoder_hid_proj.image_projection_layers[0]
        layer.clip_embeds, layer.shortcut = guide.look(start(1).identity), True
    torch.testing.assert_close(answered(theirs, steered), answered(ours, steered), rtol=1e-4, atol=1e-5)
    bare = pipeline(base)
    guide_without = replace(guide, weights={key: value for key, value in guide.weights.items() if "_lora" not in key})
    guide_without.apply(bare)
    assert (answered(bare, guide_without.steer(bare, start(1))(asked, slice(0, 1))) -
            answered(ours, steered)).abs().mean() > 1e-3, "the LoRA counts"  # fmt: skip


def test_a_persons_other_loras_stay_as_they_are(pulled):
    """diffusers switches them off for FaceID's own."""
    pulled("sd15", "faceid")
    pipe = pipeline("sd15")
    attention = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    with torch.no_grad():
        attention.to_q.weight += 0.5  # one that was baked in before
    before = attention.to_q.weight.clone()
    (guide,) = guides_of("sd15", Asked("faceid"))
    guide.apply(pipe)
    number = list(pipe.unet.attn_processors).index("mid_block.attentions.0.transformer_blocks.0.attn1.processor")
    down, up = (guide.weights[f"ip_adapter.{number}.to_q_lora.{half}.weight"] for half in ("down", "up"))
    torch.testing.assert_close(attention.to_q.weight, before + up @ down)
    assert not getattr(pipe.unet, "peft_config", None)


def test_a_network_that_sees_motion_gets_the_same_layers(pulled, tmp_path):
    """Its own attention lies between; by number alone, it would get the LoRA of other layers."""
    from diffusers import MotionAdapter, UNetMotionModel

    pulled("sd15", "faceid")
    plain, moving = pipeline("sd15"), pipeline("sd15")
    motion = MotionAdapter.from_pretrained(tiny.motion(tmp_path / "motion"))
    moving.register_modules(unet=UNetMotionModel.from_unet2d(moving.unet, motion).eval())
    (guide,) = guides_of("sd15", Asked("faceid"))
    for pipe in (plain, moving):
        guide.apply(pipe)
    for name, value in plain.unet.state_dict().items():
        torch.testing.assert_close(moving.unet.state_dict()[name], value)


def test_a_network_that_sees_motion_is_told_who_it_is(pulled, start, tmp_path, identity):
    from diffusers import MotionAdapter, UNetMotionModel

    pulled("sd15", "faceid-plus")
    pipe = pipeline("sd15")
    motion = MotionAdapter.from_pretrained(tiny.motion(tmp_path / "motion"))
    pipe.register_modules(unet=UNetMotionModel.from_unet2d(pipe.unet, motion).eval())
    (guide,) = guides_of("sd15", Asked("faceid-plus"))
    guide.apply(pipe)
    asked = call("sd15", 3)
    asked |= {"sample": asked["sample"].unflatten(0, (2, 3)).transpose(1, 2)}
    one, another = (answered(pipe, guide.steer(pipe, start(3, who))(asked, slice(0, 3)))
                    for who in (identity, other(identity)))  # fmt: skip
    assert one.shape == (2, 4, 3, 8, 8)
    assert (one - another)[1].abs().mean() > 1e-4


def test_the_look_counts_as_much_as_structure_says(pulled, start):
    pulled("sd15", "faceid-plus")
    answers = []
    for structure in (0.0, 1.0):
        pipe = pipeline("sd15")
        (guide,) = guides_of("sd15", Asked("faceid-plus", structure=structure))
        guide.apply(pipe)
        answers.append(answered(pipe, guide.steer(pipe, start(1))(call("sd15", 1), slice(0, 1))))
    assert (answers[0] - answers[1]).abs().mean() > 1e-3


def test_the_look_is_clips_own(pulled, home, identity):
    """hidden_states[-2] of the upright face in CLIP's colours, and of nothing for nobody."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pulled("sd15", "faceid-plus")
    (guide,) = guides_of("sd15", Asked("faceid-plus"))
    face = guide.recogniser.seen(identity)[0].upright(224)
    seen = CLIPImageProcessorPil()(images=face, return_tensors="pt").pixel_values
    torch.testing.assert_close(clip_pixels(face)[None], seen, rtol=1e-4, atol=1e-4)
    look = guide.look(identity)
    assert look.shape == (2, 1, 17, tinyadapters.LOOK)
    assert guide.look(identity) is look, "it is looked at once"
    assert (look[0] - look[1]).abs().mean() > 1e-3


@pytest.mark.parametrize(("name", "unit"), [("faceid", True), ("instantid", False)])
def test_faceid_is_told_a_unit_vector_and_instantid_one_as_it_comes(name, unit, pulled, start):
    base = "sdxl"
    pulled(base, name)
    pipe = pipeline(base)
    (guide,) = guides_of(base, Asked(name))
    guide.apply(pipe)
    told = guide.steer(pipe, start(2))(call(base, 2), slice(0, 2))["added_cond_kwargs"]["image_embeds"][0]
    assert told.shape == ((4, 1, 512) if unit else (4, 1, 1, 512))
    assert float(told[:2].abs().max()) == 0, "without the prompt it is nobody"
    length = float(told[2].norm())
    assert abs(length - 1) < 1e-5 if unit else length > 10


def test_the_identity_net_is_told_the_face_and_the_unet_the_caption(pulled, start, monkeypatch):
    pulled("sdxl", "instantid")
    pipe, heard = pipeline("sdxl"), []
    (guide,) = guides_of("sdxl", Asked("instantid"))
    guide.apply(pipe)
    forward = guide.net.forward
    monkeypatch.setattr(guide.net, "forward", lambda *of, **told: heard.append(told) or forward(*of, **told))
    asked = call("sdxl", 2)
    told = guide.steer(pipe, start(2))(asked, slice(0, 2))
    (seen,) = heard
    assert seen["encoder_hidden_states"].shape == (4, tinyadapters.TOKENS, tiny.WIDTHS["sdxl"])
    assert seen["conditioning_scale"] == 0.8
    assert seen["controlnet_cond"].shape == (4, 3, SIDE, SIDE)
    assert set(seen["added_cond_kwargs"]) == {"text_embeds", "time_ids"}
    assert torch.equal(told["encoder_hidden_states"], asked["encoder_hidden_states"])
    assert (answered(pipe, told) - answered(pipe, {key: value for key, value in told.items() if "block" not in key})
            ).abs().mean() > 1e-4  # fmt: skip


# -- what is opened ---------------------------------------------------------------------------------------------------


def test_every_adapter_names_its_pack_and_what_is_not_for_sale():
    for base, name in CASES:
        opened = models(base, Asked(name))
        assert KINDS[name].pack in opened
        assert not all(hub.entry(each).commercial for each in opened)
    assert names_of("sd15") == ("none", "faceid", "faceid-plus")
    assert guides_of("sd15", Asked()) == ()


@pytest.mark.parametrize(("base", "name"), CASES)
def test_the_key_tells_weights_pack_and_settings(base, name, pulled):
    pulled(base, name)
    keys = {guides_of(base, Asked(name, **more))[0].key
            for more in ({}, {"likeness": 0.3}, {"structure": 0.2}, {"pose": 0.1})}  # fmt: skip
    assert len(keys) == 4
    pulled(base, name, seed=1)
    assert guides_of(base, Asked(name))[0].key not in keys


@pytest.mark.parametrize(("base", "name"), CASES)
def test_what_is_missing_is_named_with_its_command(base, name, pulled, home):
    import shutil

    for entry in models(base, Asked(name)):
        pulled(base, name)
        shutil.rmtree(home / entry)
        with pytest.raises(ModelError) as caught:
            guides_of(base, Asked(name))
        assert f"vidswap models pull {entry}" in caught.value.hint
        assert "\n" not in str(caught.value)


def test_an_adapter_of_another_base_or_kind_is_refused(home, tmp_path):
    for name, made, said in (("faceid", ("faceid", "sdxl"), "is for another base"),
                             ("faceid", ("faceid-plus", "sd15"), "is no adapter of that kind"),
                             ("faceid-plus", ("faceid", "sd15"), "is no adapter of that kind")):  # fmt: skip
        tinyadapters.pulled(home, *models("sd15", Asked(name)))
        for file in (home / f"{name}-sd15").glob("*.safetensors"):
            file.unlink()
        tinyadapters.adapter(home / f"{name}-sd15", *made)
        hub.seal(f"{name}-sd15")
        (guide,) = guides_of("sd15", Asked(name))
        with pytest.raises(ModelError, match=f"{name}-sd15: the file {said}") as caught:
            guide.apply(pipeline("sd15"))
        assert f"vidswap models pull {name}-sd15" in caught.value.hint


def test_a_damaged_adapter_is_one_line(pulled, home):
    pulled("sd15", "faceid")
    (file,) = [each for each in (home / "faceid-sd15").glob("*.safetensors") if "_lora" not in each.name]
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError) as caught:
        guides_of("sd15", Asked("faceid"))
    assert "\n" not in str(caught.value)
    weights = {"image_proj.norm.weight": torch.zeros(32), "ip_adapter.1.to_k_ip.weight": torch.zeros(4, 32)}
    tinyadapters.save_file(weights, file)
    hub.seal("faceid-sd15")
    (guide,) = guides_of("sd15", Asked("faceid"))
    with pytest.raises(ModelError, match="reads no vectors of 512"):
        guide.apply(pipeline("sd15"))


def test_a_picture_encoder_of_another_kind_is_refused(pulled, home):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    pulled("sd15", "faceid-plus")
    config = CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
                              image_size=224, patch_size=56, projection_dim=16)  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(home / hub.entry("clip-vit-h").name / "models/image_encoder")
    hub.seal("clip-vit-h")
    with pytest.raises(ModelError, match="it sees 224 pixels as 16 numbers, not 224 as 32"):
        guides_of("sd15", Asked("faceid-plus"))


def test_what_its_makers_publish_as_a_pickle_is_read_as_it_is_pulled(pulled, home, tmp_path):
    """Nested tables, as torch saves them, become the names that are read here."""
    pulled("sdxl", "instantid")
    (guide,) = guides_of("sdxl", Asked("instantid"))
    published = tmp_path / "ip-adapter.bin"
    torch.save(halves(guide.weights), published)
    unpickle(published, published.name)
    published.rename(tmp_path / "ip-adapter.safetensors")
    again = read(tmp_path, "instantid")
    assert again.keys() == guide.weights.keys()
    assert all(torch.equal(again[name], value) for name, value in guide.weights.items())


def test_it_says_what_it_takes_of_a_card(pulled):
    pulled("sdxl", "instantid")
    (guide,) = guides_of("sdxl", Asked("instantid"))
    assert guide.memory == hub.entry("instantid").memory + hub.entry("instantid-controlnet").memory


def test_nothing_heavy_is_imported_before_an_adapter_is_chosen():
    import subprocess
    import sys

    heavy = ("insightface", "transformers", "diffusers", "vidswap.swap.faceid", "vidswap.swap.controlnet")
    words = f"import sys, vidswap.swap.engines.sdxl; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
