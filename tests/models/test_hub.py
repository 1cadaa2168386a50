"""Models that are pulled: what is missing is told with the command that gets it, what is there is what was pulled."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from vidswap.errors import ModelError
from vidswap.models import hub, packs
from vidswap.models.sound import PICKLES, check_sound
from vidswap.swap.engines import ENGINES


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "home", lambda: tmp_path / "models")
    return tmp_path / "models"


def filled(folder: Path, *names: str) -> Path:
    """A folder with files of weights, and of words, by these names."""
    for name in names or ("config.json", "diffusion_pytorch_model.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".safetensors"):
            save_file({"a": np.arange(6, dtype=np.float32)}, folder / name)
        else:
            (folder / name).write_text("{}" if name.endswith(".json") else "onnx")
    return folder


@pytest.fixture
def taesd(home):
    filled(home / "taesd")
    hub.seal("taesd")
    return home / "taesd"


def test_every_entry_says_all_that_a_person_must_know():
    assert len(hub.entries()) >= 28
    for name, entry in hub.entries().items():
        assert all((entry.purpose, entry.licence, entry.bytes > 0, entry.memory > 0)), name
        assert entry.repo or entry.urls or entry.elsewhere, name
        assert bool(entry.repo) == bool(entry.revision), name
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in entry.sha256.values()), name
        assert all(url.startswith("https://") for url in entry.urls), name
        assert set(entry.pickles) <= set(entry.files), name
        assert all(pattern.endswith(PICKLES) for pattern in entry.pickles), name


def test_of_no_pickle_but_those_that_have_no_other_form_is_anything_listed():
    for name, entry in hub.entries().items():
        assert not [each for each in entry.files if each.endswith(PICKLES) and each not in entry.pickles], name


def test_what_is_missing_is_told_with_size_licence_and_the_one_command(home):
    with pytest.raises(ModelError) as caught:
        hub.place_of("sdxl-inpainting")
    said = str(caught.value)
    assert "\n" not in said
    assert "`vidswap models pull sdxl-inpainting`" in said
    assert "6.9 GB; CreativeML OpenRAIL++-M" in said
    assert not home.exists(), "asking makes nothing"


def test_a_model_that_cannot_be_had_says_where_to_put_it(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"~/\.insightface/models/inswapper_128\.onnx"):
        hub.place_of("inswapper_128")
    filled(tmp_path / ".insightface" / "models", "inswapper_128.onnx")
    assert hub.place_of("inswapper_128") == tmp_path / ".insightface" / "models" / "inswapper_128.onnx"
    assert hub.installed(["inswapper_128"])
    assert not hub.installed(["inswapper_128", "taesd"])


def test_a_pack_of_another_program_is_that_pack_or_refused(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    filled(tmp_path / ".insightface" / "models" / "buffalo_l", "mine.onnx")
    assert hub.place_of("buffalo_l").name == "buffalo_l"
    filled(tmp_path / ".insightface" / "models" / "buffalo_l", "w600k_r50.onnx")
    with pytest.raises(ModelError, match=r"w600k_r50\.onnx is not the file of that name in 'buffalo_l'"):
        hub.place_of("buffalo_l")


def test_what_was_pulled_is_found_and_not_read_again(taesd, monkeypatch):
    monkeypatch.setattr(hub, "digest_of", lambda path: pytest.fail("it was hashed again"))
    assert hub.place_of("taesd") == taesd


def test_a_file_or_a_folder_inside_is_what_an_engine_opens(home):
    filled(home / "taef2", "taef2.safetensors")
    filled(home / "clip-vit-h", "models/image_encoder/config.json", "models/image_encoder/model.safetensors")
    for name, inside in {"taef2": "taef2.safetensors", "clip-vit-h": "models/image_encoder"}.items():
        hub.seal(name)
        assert hub.place_of(name) == home / name / inside


def test_a_copy_is_hashed_once_more_and_is_what_it_was(taesd, monkeypatch):
    os.utime(taesd / "config.json", ns=(5, 5))
    assert hub.place_of("taesd") == taesd
    monkeypatch.setattr(hub, "digest_of", lambda path: pytest.fail("it was hashed again"))
    hub.place_of("taesd")


def test_a_half_pulled_model_is_none(home):
    filled(home / "taesd")
    with pytest.raises(ModelError, match="is not here"):
        hub.place_of("taesd")


@pytest.mark.parametrize("damage", [
    lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"),
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.unlink(),
    lambda file: (file.unlink(), file.symlink_to("nowhere")),
    lambda file: (file.unlink(), file.mkdir()),
], ids=["changed", "cut", "lost", "a link to nothing", "a folder"])  # fmt: skip
def test_damage_is_one_line_with_the_command(taesd, damage):
    damage(taesd / "diffusion_pytorch_model.safetensors")
    for ask in (hub.place_of, hub.verify):
        with pytest.raises(ModelError, match=r"'taesd' is damaged: .*safetensors is .*`vidswap models pull taesd`"):
            ask("taesd")


def test_a_damaged_lock_is_one_line(taesd):
    (taesd / hub.LOCK).write_text("{")
    with pytest.raises(ModelError, match=r"vidswap\.json cannot be read .*pull taesd"):
        hub.place_of("taesd")


def test_verify_reads_all_again(taesd):
    file = taesd / "diffusion_pytorch_model.safetensors"
    then, content = file.stat(), file.read_bytes()
    assert hub.verify("taesd").bytes == len(content) + 2
    file.write_bytes(content[:-1] + b"x")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    hub.place_of("taesd")  # of the same size and time: taken for the same
    with pytest.raises(ModelError, match="is not what was pulled"):
        hub.verify("taesd")


def test_what_is_removed_is_gone(taesd):
    assert hub.remove("taesd") > 2
    assert not taesd.exists()
    assert hub.remove("taesd") == 0


def test_a_folder_of_ones_own_stands_for_a_model(home, tmp_path):
    own = filled(tmp_path / "own", "model_index.json", "unet/diffusion_pytorch_model.safetensors")
    assert hub.place_of("sdxl", own) == own
    assert not home.exists()


@pytest.mark.parametrize(("name", "files", "said"), [
    ("sdxl", ("unet/config.json",), "has no model_index.json"),
    ("taef2", ("config.json",), "is no file"),
])  # fmt: skip
def test_a_folder_of_something_else_is_refused(home, tmp_path, name, files, said):
    with pytest.raises(ModelError, match=said):
        hub.place_of(name, filled(tmp_path / "own", *files))
    with pytest.raises(ModelError, match="is not there"):
        hub.place_of(name, tmp_path / "nowhere")


def test_links_as_the_hubs_cache_has_them_are_followed_and_those_to_nothing_told(home, tmp_path):
    real = filled(tmp_path / "real", "model_index.json", "unet/diffusion_pytorch_model.safetensors")
    own = tmp_path / "snapshot"
    own.mkdir()
    (own / "model_index.json").symlink_to(real / "model_index.json")
    (own / "unet").symlink_to(real / "unet")
    (real / "unet" / "round").symlink_to(own)
    assert hub.place_of("sdxl", own) == own
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors"} < hub.digests_in(own).keys()
    (real / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (own / "model.safetensors").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"model\.safetensors is a link to nothing"):
        hub.place_of("sdxl", own)


def test_a_file_that_may_not_be_read_is_one_line(home, tmp_path, monkeypatch):
    own = filled(tmp_path / "own", "model_index.json", "unet/diffusion_pytorch_model.safetensors")
    real = Path.open

    def refuse(path, *words, **more):
        if path.suffix == ".safetensors":
            raise PermissionError(13, "Permission denied")
        return real(path, *words, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read \(Permission denied\)"):
        hub.place_of("sdxl", own)


def test_what_the_pages_tell_to_pull_is_listed_and_every_engine_has_its_line():
    root = Path(hub.__file__).parents[2]
    pages = (root / "README.md").read_text() + (root / "docs" / "engines.md").read_text()
    named = {word for words in re.findall(r"vidswap models pull ([a-z0-9_ -]+)", pages) for word in words.split()}
    assert named
    assert named <= hub.entries().keys()
    for name in ENGINES:
        assert f"`{name}`" in (root / "README.md").read_text()
        assert f"\n| `{name}` |" in (root / "docs" / "engines.md").read_text()


def test_a_file_where_a_folder_is_meant_is_refused(home, tmp_path):
    filled(tmp_path, "one.safetensors")
    with pytest.raises(ModelError, match="is no folder"):
        hub.place_of("sdxl", tmp_path / "one.safetensors")


HEADER = json.dumps({"a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}}).encode()


@pytest.mark.parametrize(("content", "said"), [
    (b"", "empty"),
    (b"\0" * 64, "zeros"),
    (b"<!DOCTYPE html><html>404</html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    (b"PK\3\4 archive of torch.save", "an archive, perhaps a pickle"),
    (b"\x80\x02}q\0.", "its header would be"),
    ((2**43).to_bytes(8, "little") + b"{}", "its header would be 8796093022208 bytes"),
    (len(HEADER).to_bytes(8, "little") + HEADER + bytes(23), "file not fully covered"),
    (len(HEADER).to_bytes(8, "little") + b"x" * len(HEADER) + bytes(24), "is no safetensors"),
    ((2).to_bytes(8, "little") + b"[]", "is no safetensors"),
    (bytes([255, 255]) + bytes(6) + b"[" * 65535, "is no safetensors"),
    ((9).to_bytes(8, "little") + b'{"a": {}}', "is no safetensors"),
])  # fmt: skip
def test_a_file_that_is_no_safetensors_is_refused_in_one_line(tmp_path, content, said):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        check_sound(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=re.escape(said)):
        hub.place_of("taesd", filled(tmp_path, "config.json"))


@pytest.mark.parametrize(("name", "content", "said"), [
    ("model.onnx", b"\x80\x04.", "a pickle, which could run"), ("model.onnx", b"", "empty"),
    ("config.json", b"[" * 100_000, "is no json"), ("config.json", b"\xff\xfe", "is no json"),
])  # fmt: skip
def test_other_kinds_are_looked_at_as_well(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=said):
        check_sound(tmp_path / name)


@given(st.binary(max_size=80), st.integers(0, 120), st.sampled_from((".safetensors", ".onnx", ".json", ".bin", ".txt")))
def test_whatever_bytes_a_file_has_what_is_amiss_is_a_model_error(tmp_path_factory, noise, place, kind):
    whole = len(HEADER).to_bytes(8, "little") + HEADER + bytes(24)
    file = tmp_path_factory.getbasetemp() / f"noise{kind}"
    file.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    with suppress(ModelError):
        check_sound(file)


@pytest.mark.parametrize("name", ["model.bin", "model.ckpt", "model.pth"])
def test_a_pickle_is_refused_whatever_is_in_it(home, name):
    filled(home / "taesd", "config.json", name)
    with pytest.raises(ModelError, match="is a pickle, which could run any program"):
        hub.seal("taesd")


def test_every_length_of_header_that_safetensors_write_is_sound(tmp_path):
    for letters in range(260):
        save_file({"a" * letters + "b": np.zeros(2, np.float32)}, file := tmp_path / "model.safetensors")
        check_sound(file)


def test_digests_are_found_once_a_file(home, tmp_path, monkeypatch):
    own, hashed = filled(tmp_path / "own"), []
    real = hub.digest_of
    monkeypatch.setattr(hub, "digest_of", lambda path: hashed.append(path.name) or real(path))
    first = hub.digests_in(own)
    assert sorted(first) == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert hub.digests_in(own) == first
    assert len(hashed) == 2
    (own / "config.json").write_text('{"changed": 1}')
    assert hub.digests_in(own) != first
    assert hashed[2:] == ["config.json"]


def test_what_was_hashed_as_it_was_pulled_is_not_hashed_again_as_it_is_opened(home, monkeypatch):
    filled(home / "clip-vit-h", "models/image_encoder/config.json", "models/image_encoder/model.safetensors")
    filled(home / "taef2", "taef2.safetensors")
    files = {**hub.seal("clip-vit-h").files, **hub.seal("taef2").files}
    found = hub.place_of("clip-vit-h") / "config.json"
    wanted = {path.rpartition("/")[2]: held.sha256 for path, held in files.items()}
    with monkeypatch.context() as patch:
        patch.setattr(hub, "digest_of", lambda path: pytest.fail("it was hashed again"))
        assert {**hub.digests_in(hub.place_of("clip-vit-h")), **hub.digests_in(hub.place_of("taef2"))} == wanted
    found.write_text('{"changed": 1}')
    assert hub.digests_in(found) == {"config.json": hub.digest_of(found)} != {"config.json": wanted["config.json"]}


def test_digests_are_found_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(hub, "home", lambda: tmp_path / "taken")
    assert len(hub.digests_in(filled(tmp_path / "own"))) == 2
    words = tmp_path / "own" / "config.json"
    assert hub.digests_in(words) == {"config.json": hub.digest_of(words)}


def test_a_face_packs_files_are_hashed_once(home, tmp_path, monkeypatch):
    pack, hashed = filled(tmp_path / "pack", "det.onnx", "rec.onnx", "read.txt"), []
    real = hub.digest_of
    monkeypatch.setattr(hub, "digest_of", lambda path: hashed.append(path.name) or real(path))
    first = packs.models_of(str(pack))
    assert first["det.onnx"] == real(pack / "det.onnx")
    assert packs.models_of(str(pack)) == first
    assert sorted(hashed) == ["det.onnx", "rec.onnx"]
