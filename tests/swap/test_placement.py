"""How a model is placed in so much memory, and what becomes of its numbers there."""

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import UsageError
from vidswap.swap import placement as place
from vidswap.swap.engines import sd15, sdxl
from vidswap.swap.placement import BATCHES, DEVICE, Footprint, Placement, needed, placed, placement

BIG = Footprint(network=5.0, rest=0.2, work=1.0, decode=3.0)


@pytest.mark.parametrize(("vram", "found"), [
    (None, Placement("cuda", "float16", 8)), (80, Placement("cuda", "float16", 8)),
    (9, Placement("cuda", "float16", 2)), (8, Placement("cuda", "float16", 2, tiled=True)),
    (6.1, Placement("cuda", "float16", 1, "model", tiled=True)),
    (4, Placement("cuda", "float16", 1, "model", fp8=True, tiled=True)),
    (2, Placement("cuda", "float16", 1, "groups", tiled=True)),
    (0.5, Placement("cuda", "float16", 1, "groups", fp8=True, tiled=True)),
])  # fmt: skip
def test_the_quickest_way_that_fits_is_taken(vram, found):
    assert placement("cuda", "float16", BIG, vram) == found


GB = st.floats(0.1, 40)


@given(st.builds(Footprint, GB, GB, GB, GB), st.floats(0.5, 100), st.sampled_from(["float16", "float32"]))
def test_what_is_chosen_fits_if_anything_does(what, vram, dtype):
    found = placement("cuda", dtype, what, vram)
    smallest = placement("cuda", dtype, what, 0)
    assert needed(found, what) <= vram or found == smallest
    assert dtype == "float16" or not found.fp8, "8 bits are for who computes in 16"
    more = placement("cuda", dtype, what, 2 * vram)
    rank, rank_of_more = (place.WAYS.index((each.offload, each.fp8, each.tiled)) for each in (found, more))
    assert rank_of_more <= rank


@pytest.mark.parametrize(("base", "vram", "offload"), [
    (sd15.BASE, 4, "none"), (sdxl.BASE, 12, "none"), (sdxl.BASE, 5.8, "model"), (sdxl.BASE, 2.5, "groups"),
])  # fmt: skip
def test_usual_cards(base, vram, offload):
    assert placement("cuda", "float16", base.at(base.size), vram).offload == offload


@pytest.mark.parametrize(("base", "config"), [(sd15.BASE, {
    "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8,
}), (sdxl.BASE, {
    "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2, 10), "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
})], ids=["sd15", "sdxl"])  # fmt: skip
def test_what_a_network_takes_is_counted_on_its_full_architecture(base, config):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=9, layers_per_block=2, **config)
    assert sum(each.numel() for each in unet.parameters()) * 2e-9 == pytest.approx(base.footprint.network, abs=0.01)


def test_of_a_processors_memory_nothing_is_offloaded():
    assert placement("cpu", "float32", BIG, 0.5) == Placement("cpu", "float32", 1, tiled=True)
    assert placement("cpu", "float32", BIG, None).batch == BATCHES[0]


def test_who_sees_frames_together_is_handed_many_before_it_is_handed_few():
    assert placement("cuda", "float16", BIG, None, (16, 8)).batch == 16
    assert placement("cuda", "float16", BIG, 22, (16, 8)) == Placement("cuda", "float16", 16)
    assert placement("cuda", "float16", BIG, 14, (16, 8)) == Placement("cuda", "float16", 8)


def test_larger_pictures_take_more():
    assert sd15.BASE.at(1024).work == pytest.approx(4 * sd15.BASE.footprint.work)
    assert sd15.BASE.at(1024).network == sd15.BASE.footprint.network


@pytest.mark.parametrize(("device", "features", "dtype"), [
    ("cuda", (), "float16"), ("mps", (), "float16"), ("cpu", ("avx2",), "float32"),
    ("cpu", ("avx512_bf16", "avx2"), "bfloat16"), ("cpu", ("amx_bf16",), "bfloat16"), ("cpu", (), "float32"),
])  # fmt: skip
def test_numbers_follow_the_device(monkeypatch, device, features, dtype):
    monkeypatch.setattr(place, "processor", lambda: type("", (), {"features": features}))
    assert place.dtype_of("auto", device) == dtype
    assert place.dtype_of("float32", device) == "float32"


def test_a_device_is_one_that_is_there(monkeypatch):
    assert place.device_of("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert place.device_of("auto") == "cuda"
    assert place.device_of("cuda:1") == "cuda:1"
    with pytest.raises(UsageError, match="has no cuda:2 that torch can use"):
        place.device_of("cuda:2")
    with pytest.raises(ValueError, match=r"^$"):
        DEVICE.read("tpu")


# -- numbers ----------------------------------------------------------------------------------------------------------


def asked(unet) -> torch.Tensor:
    seen, told = (torch.ones(shape, dtype=unet.dtype) for shape in ((1, 4, 8, 8), (1, 3, 32)))
    with torch.inference_mode():
        return unet(seen, 500, told).sample.float()


@pytest.mark.parametrize(("found", "far"), [
    (Placement("cpu", "float32", tiled=True), 1e-5), (Placement("cpu", "float32", offload="groups"), 1e-5),
    (Placement("cpu", "float32", offload="model"), 1e-5), (Placement("cpu", "bfloat16", fp8=True), 0.2),
    (Placement("cpu", "bfloat16", offload="groups", fp8=True), 0.2),
])  # fmt: skip
def test_a_network_answers_alike_however_it_is_placed(found, far):
    torch.manual_seed(0)
    unet, vae = tiny.unet("sd15"), tiny.vae()
    plain = asked(unet.eval())
    unet = unet.to(place.DTYPES[found.dtype])
    held = placed(found, unet, vae)
    apart = (asked(held.bring(unet)) - plain).abs().mean() / plain.abs().mean()
    assert apart <= far
    if found.fp8:
        assert apart > 0
        weight = unet.get_parameter("mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight")
        assert weight.dtype == torch.float8_e4m3fn
    place.let_go(vae, found)


def test_where_memory_is_short_pictures_are_decoded_one_by_one_and_large_ones_in_tiles(monkeypatch):
    """Whatever size an autoencoder was trained on: FLUX's of 1024 would decode smaller ones all at once."""
    vae, asked_for = tiny.vae(), []
    vae.tile_sample_min_size, vae.tile_latent_min_size = 1024, 128
    decode = vae.decoder.forward
    monkeypatch.setattr(vae.decoder, "forward", lambda z, *more: asked_for.append(z.shape) or decode(z, *more))
    placed(Placement("cpu", "float32", tiled=True), torch.nn.Conv2d(1, 1, 1), vae)
    with torch.inference_mode():
        small, large = (vae.decode(torch.zeros(2, 4, side, side)).sample for side in (16, 80))
    assert (small.shape, large.shape) == ((2, 3, 128, 128), (2, 3, 640, 640))
    assert asked_for[:2] == [(1, 4, 16, 16)] * 2
    assert all(shape[0] == 1 and max(shape[2:]) <= 64 for shape in asked_for[2:])
    assert len(asked_for) == 2 + 2 * 4


def test_those_that_take_turns_leave_the_card(monkeypatch):
    class Part:
        def __init__(self):
            self.device = torch.device("cpu")

        def to(self, device):
            self.device = torch.device(device)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    network, vae = Part(), Part()
    held = place.Placed(Placement("cuda", "float16", offload="model"), (network, vae))
    assert held.bring(vae) is vae
    assert (network.device.type, vae.device.type) == ("cpu", "cuda")
    held.bring(network)
    assert (network.device.type, vae.device.type) == ("cuda", "cpu")
