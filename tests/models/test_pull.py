"""Pulling from a hub on this machine: resumed, verified, safetensors alone, and one line for all that goes wrong."""

import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from fakehub import Hub, served
from filelock import FileLock
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save

from vidswap.errors import ModelError, OutputError
from vidswap.models import hub as shelf
from vidswap.models import pull as pulling
from vidswap.models.hub import Entry
from vidswap.models.listing import chosen
from vidswap.models.pull import pull

NUMBERS = {"a": torch.arange(5000.0), "b": torch.ones(3, 2)}
WEIGHTS = save(NUMBERS)
FILES = {
    "model_index.json": b"{}",
    "unet/config.json": b'{"a": 1}',
    "unet/diffusion_pytorch_model.safetensors": save({"wide": torch.ones(9000)}),
    "unet/diffusion_pytorch_model.fp16.safetensors": WEIGHTS,
    "unet/diffusion_pytorch_model.bin": b"\x80\x02not for us",
    "unet/model.onnx": b"nor this",
    "unet/flax_model.msgpack": b"nor this",
    "whole-9000.safetensors": WEIGHTS,
    "code.py": b"print('never')",
    "README.md": b"words",
}
TOY = Entry(
    "a toy",
    "MIT",
    True,
    20_000,
    0.1,
    repo="toys/toy",
    revision="main",
    files=("model_index.json", "unet/*"),
    name="toy",
)


def pickled(value: object) -> bytes:
    torch.save(value, file := io.BytesIO())
    return file.getvalue()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub, the entry `toy` of it, and an empty shelf."""
    monkeypatch.setattr(shelf, "home", lambda: tmp_path / "models")
    monkeypatch.setattr(shelf, "entries", lambda: {"toy": TOY})
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with served(Hub(dict(FILES))) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield hub
    close_session()


def left(tmp_path) -> set[str]:
    folder = tmp_path / "models" / "toy"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


WHOLE = {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vidswap.json"}


def test_what_a_model_is_made_of_comes_and_nothing_else(hub, tmp_path):
    told = []
    place = pull("toy", report=lambda *words: told.append(words))
    assert place == tmp_path / "models" / "toy"
    assert left(tmp_path) - {".part.lock"} == WHOLE
    assert (place / "unet/diffusion_pytorch_model.fp16.safetensors").read_bytes() == WEIGHTS
    lock = shelf.lock_of("toy")
    assert lock.commit == hub.commit
    assert lock.bytes == len(WEIGHTS) + 10
    assert told[-1] == ("toy, MB", 0, 1)
    assert not [row for row in hub.asked if "main" in row[1] and "/resolve/" in row[1]], (
        "files of the commit, not of a branch"
    )


def test_what_is_there_is_not_asked_for_again(hub):
    pull("toy")
    hub.asked.clear()
    pull("toy")
    assert hub.asked == []


def test_what_comes_is_hashed_once(hub, monkeypatch):
    hashed, real = [], shelf.digest_of
    for module in (shelf, pulling):
        monkeypatch.setattr(module, "digest_of", lambda path: hashed.append(path.stat().st_size) or real(path))
    pull("toy")
    assert hashed.count(len(WEIGHTS)) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(hub, tmp_path, monkeypatch):
    hub.cut = 6000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 3000)  # what is short of one is lost with the connection
    pull("toy")
    starts = [asked for verb, path, asked in hub.asked if path.endswith("fp16.safetensors")]
    assert starts == ["", "bytes=6000-", "bytes=12000-", "bytes=18000-"]
    assert left(tmp_path) - {".part.lock"} == WHOLE


def test_a_later_pull_goes_on_where_an_earlier_one_was_stopped(hub, monkeypatch):
    told = []

    def stop(*words):
        told.append(hub.loaded()[-1:])
        if told.count(["unet/diffusion_pytorch_model.fp16.safetensors"]) == 2:  # of its chunks
            raise KeyboardInterrupt

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 5000)
    with pytest.raises(KeyboardInterrupt) as caught:
        pull("toy", report=stop)
    assert caught.value.__notes__ == [pulling.GOES_ON]
    with pytest.raises(ModelError, match="is not here"):
        shelf.place_of("toy")
    hub.asked.clear()
    pull("toy")
    assert [asked for _, path, asked in hub.asked if "/resolve/" in path] == ["bytes=5000-"], "all else was there"
    shelf.verify("toy")


def test_what_lies_half_loaded_is_gone_on_with(hub, tmp_path):
    part = tmp_path / "models/toy/.part" / hub.listed()["siblings"][3]["lfs"]["sha256"]
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS[:7000])
    pull("toy")
    assert ("GET", "bytes=7000-") in [(verb, asked) for verb, _, asked in hub.asked]
    shelf.verify("toy")


@pytest.mark.parametrize("length", [7000, len(WEIGHTS), len(WEIGHTS) + 9])
@pytest.mark.parametrize("ranges", [True, False])
def test_whatever_lies_there_of_an_earlier_pull_the_bytes_are_right_or_refused(hub, tmp_path, length, ranges):
    part = tmp_path / "models/toy/.part" / hub.listed()["siblings"][3]["lfs"]["sha256"]
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(length))
    hub.ranges = ranges
    if length == len(WEIGHTS) or (ranges and length == 7000):
        with pytest.raises(ModelError, match="is not what toys/toy says that it is"):
            pull("toy")
        assert not part.exists()
    pull("toy")
    shelf.verify("toy")


@pytest.mark.parametrize("path", ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/config.json"])
def test_other_bytes_than_the_hub_lists_are_refused_and_leave_no_model(hub, tmp_path, path):
    hub.lies = (path,)
    with pytest.raises(ModelError, match=f"{path} of 'toy' is not what toys/toy says") as caught:
        pull("toy")
    assert caught.value.__notes__ == [pulling.GOES_ON]
    assert path not in left(tmp_path)
    assert "vidswap.json" not in left(tmp_path)
    hub.lies = ()
    pull("toy")


def test_a_damaged_file_is_loaded_again_and_no_other(hub, tmp_path):
    place = pull("toy")
    weights = place / "unet/diffusion_pytorch_model.fp16.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    hub.asked.clear()
    pull("toy")
    assert hub.loaded() == ["unet/diffusion_pytorch_model.fp16.safetensors"]
    shelf.verify("toy")


def test_a_damaged_lock_is_made_anew_from_what_is_there(hub, tmp_path):
    (pull("toy") / shelf.LOCK).write_text("{")
    hub.asked.clear()
    pull("toy")
    assert hub.loaded() == []
    shelf.verify("toy")


def test_what_was_pulled_once_stays_that_commit(hub, tmp_path):
    place, first = pull("toy"), hub.commit
    (place / "model_index.json").unlink()
    pull("toy")
    assert ("GET", f"/api/models/toys/toy/revision/{first}", "") in hub.asked


@pytest.mark.parametrize(("wrong", "said"), [
    ({"gated": True}, r"given only to who accepts its licence \(MIT\).*huggingface.co/toys/toy.*HF_TOKEN"),
    ({"gone": True}, r"'toy' .*huggingface.co/toys/toy"),
    ({"cut": 0}, r"'toy' cannot be loaded"),
    ({"files": {"unet/a.bin": b"\x80"}}, r"toys/toy has no model_index\.json"),
    ({"files": {"model_index.json": b"{}", "unet/a.bin": b"\x80"}}, r"has no unet/\* as safetensors \(any more"),
    ({"files": {"model_index.json": b"{}", "unet/config.json": b"{}", "unet/a.bin": b"\x80"}}, "as safetensors"),
    ({"files": {"model_index.json": b"{}", "unet/a.safetensors": b"\x80\x02.pickle"}}, "its header would be"),
    ({"files": {"model_index.json": b"{}", "unet/a.safetensors": b"<html>sorry</html>"}}, "is a web page"),
    ({"files": {"model_index.json": b"<html>", "unet/a.safetensors": WEIGHTS}}, "is no json"),
])  # fmt: skip
def test_what_is_amiss_is_one_line_and_no_model(hub, tmp_path, wrong, said):
    for name, value in wrong.items():
        setattr(hub, name, value)
    with pytest.raises(ModelError, match=said) as caught:
        pull("toy")
    assert "\n" not in str(caught.value)
    assert "vidswap.json" not in left(tmp_path)
    hub.__dict__.update(vars(Hub(dict(FILES), hub.url)))
    pull("toy")


def test_no_hub_is_one_line(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"'toy' cannot be loaded from .*: .*refused"):
        pull("toy")


@pytest.mark.parametrize("how", ["offline", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody_and_says_where_to_put_it(hub, monkeypatch, how, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", how != "offline")
    with pytest.raises(ModelError, match=r"no network may be asked .*copy the folder from there to .*models/toy"):
        pull("toy", offline=how == "offline")
    assert hub.asked == []
    assert not (tmp_path / "models").exists()


def test_a_disk_without_room_is_told_before_anything_is_loaded(hub, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(1000))
    with pytest.raises(OutputError, match="has room for 0 MB, and 'toy' needs 200 MB"):
        pull("toy")
    assert hub.loaded() == []


def test_a_disk_that_fills_is_one_line_and_keeps_what_came(hub, monkeypatch):
    def full(*_words, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(OutputError, match="is full"):
        pull("toy")
    monkeypatch.undo()


def test_two_at_once_is_one_line(hub, tmp_path):
    (tmp_path / "models/toy").mkdir(parents=True)
    with (
        FileLock(tmp_path / "models/toy/.part.lock"),
        pytest.raises(ModelError, match="another process is pulling 'toy'"),
    ):
        pull("toy")


def test_a_token_is_told_to_the_hub_and_not_to_whom_it_sends_us_on_to(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.moved, hub.cut = True, 6000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 3000)
    pull("toy")
    assert {token for host, token in hub.tokens if host == "127.0.0.1"} == {"Bearer secret"}
    assert {token for host, token in hub.tokens if host == "localhost"} == {""}
    shelf.verify("toy")


# -- the few pickles --------------------------------------------------------------------------------------------------


class Evil:
    """What runs a program where it is unpickled by whoever trusts it: the folder `made` is there then."""

    def __init__(self, made):
        self.made = str(made)

    def __reduce__(self):
        return os.mkdir, (self.made,)


@pytest.fixture
def adapter(hub, monkeypatch):
    """The entry `toy` as an adapter whose makers publish a pickle alone."""
    entry = replace(TOY, files=("a.bin", "a_lora.safetensors"), pickles=("a.bin",))
    monkeypatch.setattr(shelf, "entries", lambda: {"toy": entry})
    hub.files = {"a.bin": pickled({"image_proj": NUMBERS, "ip_adapter": {"1.to_k_ip.weight": NUMBERS["b"]}}),
                 "a_lora.safetensors": WEIGHTS, "b.bin": b""}  # fmt: skip
    return hub


def test_a_pickle_without_another_form_becomes_safetensors(adapter, tmp_path):
    place = pull("toy")
    assert left(tmp_path) - {".part.lock"} == {"a.safetensors", "a_lora.safetensors", "vidswap.json"}
    found = load_file(place / "a.safetensors")
    assert sorted(found) == ["image_proj.a", "image_proj.b", "ip_adapter.1.to_k_ip.weight"]
    assert torch.equal(found["image_proj.a"], NUMBERS["a"])
    adapter.asked.clear()
    (place / "a_lora.safetensors").unlink()
    pull("toy")
    assert adapter.loaded() == ["a_lora.safetensors"]


@pytest.mark.parametrize("content", [
    lambda evil: pickle.dumps(evil, 2), lambda evil: pickled({"a": evil}),
    lambda _: pickled({"a": NUMBERS["a"]})[:-300], lambda _: b"<html>", lambda _: b"", lambda _: pickled(["a"]),
    lambda _: pickled({"a": 5}),
], ids=["a program", "a program in torch's", "cut", "a page", "empty", "a list", "a number"])  # fmt: skip
def test_a_pickle_that_holds_more_than_tensors_is_refused_and_not_run(adapter, tmp_path, content):
    adapter.files["a.bin"] = content(Evil(tmp_path / "was-here"))
    with pytest.raises(ModelError, match="holds more than tensors, or is damaged: it is not opened"):
        pull("toy")
    assert not os.path.exists(tmp_path / "was-here")
    assert not any(name.endswith(".bin") or name == "vidswap.json" for name in left(tmp_path))


def test_a_pickle_in_disguise_is_refused(adapter, tmp_path):
    adapter.files["a_lora.safetensors"] = pickle.dumps(Evil(tmp_path / "was-here"), 2)
    with pytest.raises(ModelError, match=r"a_lora\.safetensors is no safetensors"):
        pull("toy")
    assert not os.path.exists(tmp_path / "was-here")


# -- what lies on no hub ----------------------------------------------------------------------------------------------


def archive(*names: str, content: bytes = b"onnx") -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def pack(hub, monkeypatch):
    """The entry `toy` as a pack of models that its makers release as an archive."""
    entry = Entry(
        "a toy", "research", False, 20_000, 0.1, urls=(f"{hub.url}/x/resolve/{hub.commit}/pack.zip",), name="toy"
    )
    monkeypatch.setattr(shelf, "entries", lambda: {"toy": entry})
    hub.files = {"pack.zip": archive("pack/det.onnx", "pack/rec.onnx", "pack/run.py", "../../out.onnx")}
    return hub


def test_of_an_archive_the_models_come_and_nothing_else(pack, tmp_path):
    pull("toy")
    assert left(tmp_path) - {".part.lock"} == {"det.onnx", "rec.onnx", "out.onnx", "vidswap.json"}
    assert not list(tmp_path.glob("out.onnx"))


def test_a_token_is_for_the_hub_alone(pack, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: pytest.fail("it was asked for"))
    pull("toy")


@pytest.mark.parametrize(("content", "said"), [
    (b"<html>moved</html>", "is no archive"), (archive("a.onnx")[:-30], "is no archive"),
    (archive("a.onnx", content=bytes(200_000)), "many times as large"), (archive("a.py"), "no model is in it"),
    (archive("a.onnx", content=b""), "empty"),
])  # fmt: skip
def test_an_archive_that_is_none_is_one_line(pack, tmp_path, content, said):
    pack.files["pack.zip"] = content
    with pytest.raises(ModelError, match=said):
        pull("toy")
    assert "vidswap.json" not in left(tmp_path)
    assert not any(name.endswith(".zip") for name in left(tmp_path))


def test_a_model_of_another_digest_than_the_lists_is_refused(pack, monkeypatch):
    known = replace(shelf.entries()["toy"], sha256={"rec.onnx": "0" * 64})
    monkeypatch.setattr(shelf, "entries", lambda: {"toy": known})
    with pytest.raises(ModelError, match=r"rec\.onnx is not the file of that name in 'toy'"):
        pull("toy")


# -- which files ------------------------------------------------------------------------------------------------------


def test_patterns_stay_in_their_folder_and_take_the_16_bit_weight():
    paths = [*FILES, "../unet/evil.json", "unet/deep/x.json", "unet/model.non_ema.safetensors"]
    assert chosen(TOY, paths) == sorted(WHOLE - {"vidswap.json"})


def test_the_command_says_the_licence_first_and_what_ctrl_c_stops_is_gone_on_with(hub, tmp_path, monkeypatch):
    """The command against the same hub, in a process of its own."""
    hub.files = {"config.json": b"{}", "diffusion_pytorch_model.safetensors": save({"a": torch.ones(6_000_000)})}
    hub.cut = 11_000_000  # more than the bytes that huggingface_hub takes at once
    words = [sys.executable, "-m", "vidswap", "models", "pull", "taesd"]
    env = {**os.environ, "HF_ENDPOINT": hub.url, "XDG_DATA_HOME": str(tmp_path / "data"), "HF_HUB_OFFLINE": ""}
    run = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE)
    while len(hub.loaded()) < 3 and run.poll() is None:  # the weights' connection broke, and is asked for the rest
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (130, f"vidswap: stopped; {pulling.GOES_ON}\n")
    assert "MIT; commercial use allowed" in out
    hub.cut = None
    hub.asked.clear()
    toy = replace(TOY, name="taesd", files=tuple(hub.files))
    monkeypatch.setattr(shelf, "entries", lambda: {"taesd": toy})
    monkeypatch.setattr(shelf, "home", lambda: tmp_path / "data" / "vidswap" / "models")
    pull("taesd")
    assert [asked[:7] for _, path, asked in hub.asked if "/resolve/" in path] == ["bytes=1"], "of 24 MB the last 13"
