"""LoRAs: each layout changes the picture alike, those of another base and damaged ones are refused in one line."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vidswap.errors import ConsentError, ModelError
from vidswap.settings import Setting
from vidswap.swap.folders import loaded
from vidswap.swap.lora import LORAS, Lora, bake, called, digests_of

TITLES = {"sd15": "Stable Diffusion 1.5", "sdxl": "Stable Diffusion XL"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("bases")
    for name in TITLES:
        tiny.base(made / name, name)
    return made


@pytest.fixture
def pipeline(folder):
    from vidswap.swap.engines import sd15, sdxl

    bases = {"sd15": sd15.BASE, "sdxl": sdxl.BASE}
    return lambda name: loaded(bases[name], folder / name, "float32")


def weights_of(pipeline) -> dict[str, torch.Tensor]:
    parts = {name: getattr(pipeline, name, None) for name in ("unet", "text_encoder", "text_encoder_2")}
    return {f"{name}.{key}": value.clone() for name, part in parts.items() if part is not None
            for key, value in part.state_dict().items()}  # fmt: skip


def changes(pipeline, *loras: Lora, base: str) -> dict[str, torch.Tensor]:
    """What is added to which weights."""
    before = weights_of(pipeline)
    bake(pipeline, loras, TITLES[base])
    after = weights_of(pipeline)
    assert before.keys() == after.keys(), "nothing is left of how it came in"
    return {key: after[key] - before[key] for key in before if not torch.equal(after[key], before[key])}


def product(file: Path, layer: str) -> torch.Tensor:
    """What a LoRA in peft's layout adds to a layer."""
    weights = load_file(file)
    return weights[f"unet.{layer}.lora_B.weight"] @ weights[f"unet.{layer}.lora_A.weight"]


@pytest.mark.parametrize("base", TITLES)
def test_each_layout_adds_the_same(pipeline, tmp_path, base):
    files = {layout: tiny.lora(tmp_path / f"{layout}.safetensors", base, layout) for layout in ("peft", "diffusers")}
    found = {layout: changes(pipeline(base), Lora(file), base=base) for layout, file in files.items()}
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    assert torch.allclose(found["peft"][f"unet.{layer}.weight"], product(files["peft"], layer), atol=1e-5)
    assert found["peft"].keys() == found["diffusers"].keys()
    assert all(torch.equal(found["peft"][key], found["diffusers"][key]) for key in found["peft"])


@pytest.mark.parametrize("base", TITLES)
def test_kohyas_layout_changes_what_reads_the_caption_too(pipeline, tmp_path, base):
    file = tiny.lora(tmp_path / "kohya.safetensors", base, "kohya")
    found = changes(pipeline(base), Lora(file), base=base)
    down = "down_blocks.0" if base == "sd15" else "down_blocks.1"
    key = f"unet.{down}.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    weights = load_file(file)
    made = "down_blocks_0_attentions_0" if base == "sd15" else "input_blocks_3_1"
    layer = f"lora_unet_{made}_transformer_blocks_0_attn1_to_q"
    wanted = weights[f"{layer}.lora_up.weight"] @ weights[f"{layer}.lora_down.weight"]
    assert torch.allclose(found[key], wanted, atol=1e-5)
    read = {key for key in found if key.startswith("text_encoder.")}
    assert read == {f"text_encoder.encoder.layers.0.self_attn.{each}.weight" for each in ("q_proj", "out_proj")}


def test_what_peft_itself_saves_is_scaled_as_it_says(pipeline, tmp_path):
    named = load_file(tiny.lora(tmp_path / "named.safetensors", "sd15", "peft"))
    file = tmp_path / "adapter_model.safetensors"
    save_file({key.replace("unet.", "base_model.model."): value for key, value in named.items()}, file)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 1}))
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    found = changes(pipeline("sd15"), Lora(file), base="sd15")
    assert torch.allclose(found[f"unet.{layer}.weight"], product(tmp_path / "named.safetensors", layer) / 2, atol=1e-5)
    (tmp_path / "adapter_config.json").unlink()
    assert "adapter_config.json" in refused(pipeline("sd15"), file)


def test_what_a_file_says_of_its_training_is_heeded(pipeline, folder, tmp_path):
    """One that diffusers' own tools save, whose alpha is in the file's metadata."""
    from peft import LoraConfig

    made = pipeline("sd15")
    made.unet.add_adapter(LoraConfig(r=2, lora_alpha=8, init_lora_weights="gaussian", target_modules=["to_q"]), "mine")
    made.unet.save_lora_adapter(tmp_path, adapter_name="mine")
    weights = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    ones = {f"unet.{key}": torch.ones_like(value) for key, value in weights.items()}
    with safe_open(tmp_path / "pytorch_lora_weights.safetensors", "pt") as file:
        said = json.loads(file.metadata()["lora_adapter_metadata"])
    told = {"format": "pt", "lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in said.items()})}
    save_file(ones, tmp_path / "a.safetensors", told)
    found = changes(pipeline("sd15"), Lora(tmp_path / "a.safetensors"), base="sd15")
    assert all(torch.allclose(change, torch.full_like(change, 8.0)) for change in found.values())


def test_two_add_up_by_their_weights(pipeline, tmp_path):
    one, other = (tiny.lora(tmp_path / f"{seed}.safetensors", "sd15", "peft", seed) for seed in (1, 2))
    found = changes(pipeline("sd15"), Lora(one, 0.5), Lora(other, -1.0), base="sd15")
    layer = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v"
    wanted = 0.5 * product(one, layer) - product(other, layer)
    assert torch.allclose(found[f"unet.{layer}.weight"], wanted, atol=1e-5)


def test_what_is_baked_in_is_not_switched_off_by_an_adapter_with_a_lora_of_its_own(pipeline, tmp_path):
    """diffusers' load_ip_adapter makes its own LoRA the only one that is active."""
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    plain, person = pipeline("sd15"), pipeline("sd15")
    bake(person, [Lora(tiny.lora(tmp_path / "person.safetensors", "sd15"))], TITLES["sd15"])
    for each in (plain, person):
        each.load_ip_adapter(tiny.faceid(each.unet), subfolder="", weight_name="", image_encoder_folder=None)
        assert list(each.unet.peft_config) == ["faceid_0"]
        assert any(isinstance(one, IPAdapterAttnProcessor2_0) for one in each.unet.attn_processors.values())
    asked = {"sample": torch.ones(1, 4, 8, 8), "timestep": torch.tensor(500.0), "return_dict": False,
             "encoder_hidden_states": torch.ones(1, 3, 32),
             "added_cond_kwargs": {"image_embeds": [torch.ones(1, 1, 512)]}}  # fmt: skip
    with torch.inference_mode():
        apart = person.unet(**asked)[0] - plain.unet(**asked)[0]
    assert apart.abs().mean() > 0.01


# -- refused ----------------------------------------------------------------------------------------------------------


def refused(pipeline, file: Path, base: str = "sd15") -> str:
    before = weights_of(pipeline)
    with pytest.raises(ModelError) as caught:
        bake(pipeline, [Lora(file)], TITLES[base])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    after = weights_of(pipeline)
    assert before.keys() == after.keys()
    return str(caught.value)


@pytest.mark.parametrize("layout", ["diffusers", "peft", "kohya"])
@pytest.mark.parametrize(("base", "other"), [("sd15", "sdxl"), ("sdxl", "sd15")])
def test_one_of_another_base_is_refused(pipeline, tmp_path, base, other, layout):
    file = tiny.lora(tmp_path / "other.safetensors", other, layout)
    assert f"is no LoRA of {TITLES[base]}" in refused(pipeline(base), file, base)


def test_one_whose_layers_are_called_alike_and_are_of_another_width_is_refused(pipeline, tmp_path):
    """Stable Diffusion 2's layers have the names of 1.5's."""
    file = tiny.lora(tmp_path / "a.safetensors", "sd15", "peft")
    weights = load_file(file)
    wide = {key: torch.ones(2, 1024) if "attn2.to_k.lora_A" in key else value for key, value in weights.items()}
    save_file(wide, file)
    told = refused(pipeline("sd15"), file)
    assert "is no LoRA of Stable Diffusion 1.5, but of Stable Diffusion 2" in told
    assert "takes 32 and gives" in told


def test_what_is_no_lora_is_refused(pipeline, folder, tmp_path):
    one = pipeline("sd15")
    assert "there is no LoRA" in refused(one, tmp_path / "none.safetensors")
    assert "no LoRA" in refused(one, folder / "sd15" / "unet" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "a.pt").write_bytes(b"PK\3\4 a pickle")
    assert "end with .safetensors" in refused(one, tmp_path / "a.pt")
    (tmp_path / "disguised.safetensors").write_bytes(b"PK\3\4" + bytes(100))
    assert "is no safetensors" in refused(one, tmp_path / "disguised.safetensors")
    flux = "transformer.double_blocks.0.img_attn.proj"
    parts = {f"{flux}.lora_A.weight": torch.ones(2, 3072), f"{flux}.lora_B.weight": torch.ones(3072, 2)}
    save_file(parts, tmp_path / "flux.safetensors")
    assert "but of FLUX" in refused(one, tmp_path / "flux.safetensors")


def test_a_cut_file_is_refused(pipeline, tmp_path):
    file = tiny.lora(tmp_path / "cut.safetensors", "sd15")
    file.write_bytes(file.read_bytes()[:-100])
    assert str(file) in refused(pipeline("sd15"), file)


# -- how they are told ------------------------------------------------------------------------------------------------


class Mine:
    lora = Setting(LORAS, ())


@pytest.mark.parametrize(("given", "kept"), [
    ("a.safetensors", [("a.safetensors", 1.0)]), ("a.safetensors:0.8", [("a.safetensors", 0.8)]),
    (["x:y.safetensors:-1", Path("b.safetensors")], [("x:y.safetensors", -1.0), ("b.safetensors", 1.0)]),
    (("C:\\mine\\a.safetensors:.5",), [("C:\\mine\\a.safetensors", 0.5)]), ((), []),
])  # fmt: skip
def test_files_and_weights_are_read(given, kept):
    assert [(str(lora.path), lora.weight) for lora in LORAS.read(given)] == kept
    assert LORAS.read(LORAS.read(given)) == LORAS.read(given)


@pytest.mark.parametrize("given", ["", ":0.5", "a.safetensors:5", "a.safetensors:-4.5", [""]])
def test_what_is_no_file_or_no_weight_is_refused(given):
    with pytest.raises(ValueError, match=r"^$"):
        LORAS.read(given)


def test_the_words_that_call_a_person_go_before_the_caption(tmp_path):
    files = [Lora(tmp_path / name) for name in ("anna.safetensors", "style.safetensors", "gone.safetensors")]
    save_file({"a": torch.ones(1)}, files[0].path, {"modelspec.trigger_phrase": "ohwx\n person"})
    save_file({"a": torch.ones(1)}, files[1].path)
    assert called("a film still", files) == "ohwx person, a film still"
    assert called("Ohwx person smiles", files) == "Ohwx person smiles"
    assert called("a film still", ()) == "a film still"


def test_a_person_who_did_not_agree_to_a_swap_or_no_longer_is_not_put_on(pipeline, tmp_path):
    file = tiny.lora(tmp_path / "anna.safetensors", "sd15", "peft", 1)
    told, base = {"vidswap.subject": "Anna", "vidswap.consent": "anna.toml"}, pipeline("sd15")
    wrong = {"agreed to: train": ("uses", '["train"]'), "ended": ("until", "2020-01-01"), "not say": ("until", "soon")}
    for words, (name, said) in wrong.items():
        save_file(load_file(file), file, {**told, f"vidswap.{name}": said})
        with pytest.raises(ConsentError, match=words):
            bake(base, [Lora(file)], TITLES["sd15"])
    (tmp_path / "anna.consent.toml").write_text('subject = "Anna"\nuntil = 2999-01-01\n')
    bake(base, [Lora(file)], TITLES["sd15"])
    (tmp_path / "anna.consent.toml").write_text('subject = "Anna"\nuntil = 2020-01-01\n')
    with pytest.raises(ConsentError, match="ended on 2020-01-01"):
        bake(base, [Lora(file)], TITLES["sd15"])


def test_a_key_depends_on_content_and_weight_and_not_on_names(tmp_path, monkeypatch):
    monkeypatch.setattr("vidswap.models.hub.home", lambda: tmp_path / "home")
    one, other = (tiny.lora(tmp_path / f"{seed}.safetensors", "sd15", "peft", seed) for seed in (1, 2))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(one.read_bytes())
    assert digests_of([Lora(one)]) == digests_of([Lora(moved)])
    assert len({digests_of([lora]) for lora in (Lora(one), Lora(one, 0.5), Lora(other))}) == 3
