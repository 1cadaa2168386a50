from __future__ import annotations

from datetime import date

import av
import numpy as np
from footage import make_clip, moving

from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.trust.disclosure import labels
from vidswap.types import Consent, Identity
from vidswap.write.film import encode


def identity(**consent):
    photo, mesh = np.zeros((8, 8, 3), np.uint8), np.zeros((478, 3), np.float32)
    return Identity((photo,), (mesh,), np.ones(4, np.float32), Consent(**consent))


def test_comment_says_all():
    ada = identity(subject="Ada", record="ada.toml", uses=("film", "ad"), until=date(2030, 1, 2))
    told = labels([(ada, "warp"), (ada, "warp")], "9.9")
    assert told["comment"].startswith("AI-generated: face swap (vidswap 9.9)")
    for word in ("warp", "Ada", "ada.toml", "film, ad", "2030-01-02", "compositeWithTrainedAlgorithmicMedia"):
        assert word in told["comment"]
        assert word in "".join(value for key, value in told.items() if key != "comment")


def test_what_is_not_known_is_not_said():
    told = labels([(identity(subject="self"), "warp")], "1.0")
    assert "until" not in told["comment"]
    assert not {"vidswap_until", "vidswap_uses"} & set(told)


def test_an_mp4_gives_the_comment_back(tmp_path):
    clip = open_clip(make_clip(tmp_path / "a.mp4", moving(3)))
    told = labels([(identity(subject="Zoë", record="self"), "embedded")], "1.0")
    pictures = ((frame.index, frame.native) for frame in frames(clip))
    encode(clip, pictures, tmp_path / "b.mp4", WriteSettings(preset="ultrafast"), told)
    with av.open(str(tmp_path / "b.mp4")) as made:
        assert made.metadata["comment"] == told["comment"]


def test_all_who_are_played_are_named_once():
    ada, ben = identity(subject="Ada", record="a.toml"), identity(subject="Ben", record="b.toml")
    told = labels([(ada, "warp 1"), (ben, "embedded 2"), (ada, "warp 1")], "1.0")
    assert told["vidswap_subject"] == "Ada + Ben"
    assert told["vidswap_engine"] == "warp 1 + embedded 2"
    assert told["vidswap_consent"] == "a.toml + b.toml"
