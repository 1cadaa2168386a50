"""The registry: what ships is what it lists; what does not match is refused."""

import shutil
from pathlib import Path

import pytest

from vidswap.errors import ModelError, UsageError
from vidswap.models import registry as weights
from vidswap.records import from_toml

ROW = """[toy]
path = "{path}"
purpose = "to test with"
licence = "Apache-2.0"
source = "this test"
commercial = true
[toy.files]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "one.bin").write_bytes(b"one")
    (tmp_path / "toy" / "two.bin").write_bytes(b"two")
    (tmp_path / "registry.toml").write_text(ROW.format(path="toy"))
    weights.record_checksums({"toy"}, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", weights.registry())
def test_what_ships_is_what_the_registry_lists(name):
    path = weights.path_to(name)
    files = {p.relative_to(weights.ROOT).as_posix() for p in ([path] if path.is_file() else path.rglob("*.*"))}
    assert files == {file.path for file in weights.registry()[name].files}


def test_all_that_ships_is_listed_and_small():
    listed = [file for model in weights.registry().values() for file in model.files]
    assert sum(file.bytes for file in listed) <= 60_000_000
    shipped = {
        p.relative_to(weights.ROOT).as_posix()
        for p in weights.ROOT.rglob("*.*")
        if p.is_file() and p.suffix not in (".py", ".pyc")
    }
    assert shipped - {file.path for file in listed} == {"registry.toml", "hub.toml", "embedded/MODEL_CARD.md"}


def test_sealed_files_are_found(root):
    assert weights.path_to("toy", root) == root / "toy"
    facts = weights.registry(root)["toy"]
    assert [file.path for file in facts.files] == ["toy/one.bin", "toy/two.bin"]
    assert facts.bytes == 6
    assert facts.purpose == "to test with"


def test_damage_and_loss_are_refused(root):
    (root / "toy" / "two.bin").write_bytes(b"tww")
    with pytest.raises(ModelError, match=r"damaged: toy/two\.bin"):
        weights.path_to("toy", root)
    (root / "toy" / "two.bin").unlink()
    with pytest.raises(ModelError, match=r"lacks its file toy/two\.bin"):
        weights.path_to("toy", root)


def test_unknown_unsealed_and_untrained_models_are_refused(root):
    with pytest.raises(ModelError, match="no model is called 'boy'"):
        weights.path_to("boy", root)
    with pytest.raises(UsageError, match="boy"):
        weights.record_checksums({"boy"}, root)
    (root / "registry.toml").write_text(ROW.format(path="gone.onnx"))
    with pytest.raises(ModelError, match="not sealed"):
        weights.path_to("toy", root)
    with pytest.raises(ModelError, match=r"lacks its file gone\.onnx"):
        weights.record_checksums({"toy"}, root)


@pytest.mark.parametrize("text", ["[toy", "[toy]\npath = 'a'\n", ""])
def test_registry_that_cannot_be_read_is_refused(root, text):
    (root / "registry.toml").write_text(text) if text else shutil.rmtree(root)
    with pytest.raises(ModelError, match="list of models"):
        weights.registry(root)


@pytest.mark.parametrize(("old", "new"), [
    ("sha256", "sha255"), ("bytes = 3", 'bytes = "3"'), ("commercial = true", "commercial = 1"),
    ("purpose", "purposes"), ("[toy]", "[toy"), ("toy.files]", "toy.file]"),
    ('"toy/one.bin" = {', '"toy/one.bin" = 7 #'),
])  # fmt: skip
def test_a_list_that_is_damaged_is_told(root, old, new):
    listed = root / "registry.toml"
    listed.write_text(listed.read_text().replace(old, new, 1))
    with pytest.raises(ModelError, match="the list of models cannot be read") as caught:
        weights.registry(root)
    assert "reinstall" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_the_list_is_read_once_until_it_changes(root, monkeypatch):
    reads: list[int] = []

    def counted(kind, content):
        reads.append(len(content))
        return from_toml(kind, content)

    monkeypatch.setattr(weights, "from_toml", counted)
    weights.record_checksums({"toy"}, root)
    for _ in range(3):
        assert weights.registry(root)["toy"].bytes == 6
    assert len(reads) == 2, "before it was written, and after"
    (root / "toy" / "two.bin").write_bytes(b"other")
    weights.record_checksums({"toy"}, root)
    assert weights.registry(root)["toy"].bytes == 8
    assert len(reads) == 3


def test_our_own_mistakes_are_not_a_damaged_list(root, monkeypatch):
    def mistaken(*_):
        raise TypeError("our own")

    monkeypatch.setattr(weights, "_model", mistaken)
    (root / "registry.toml").touch()
    with pytest.raises(TypeError, match="our own"):
        weights.registry(root)
