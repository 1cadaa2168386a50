"""Answers of whole-shot engines, fitted back: whatever their rate, size, times and light."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from footage import make_clip
from hypothesis import given
from hypothesis import strategies as st
from playing import MEAN, OTHER, Player, mesh_at, scene, scene_clip, track
from rendered import write_plan

from vidswap.casting import Engines, Role
from vidswap.errors import ConsentError, EngineError, UsageError
from vidswap.face import geometry
from vidswap.media.native import planes
from vidswap.pipeline import swap_clip
from vidswap.plan.store import facts_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.swap.clipengine import Limits, Price
from vidswap.swap.fit import ClipRole, swap_shots
from vidswap.swap.takes import framed, nearest, rate_within
from vidswap.types import Consent, EngineChoice, Identity, Shot
from vidswap.write.composite import composite

SOMEONE = Identity((np.zeros((8, 8, 3), np.uint8),), (MEAN,), np.ones(4, np.float32) / 2, Consent("self"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return open_clip(scene_clip(tmp_path_factory.mktemp("scene") / "scene.mp4"))


def played(clip, engine, folder, *, start=0, stop=50, shots=None, identity=SOMEONE, **more):
    """The shots of an engine, on the frames [start, stop) that the face is seen in."""
    plan = SimpleNamespace(shots=shots or (Shot(0, len(clip)),), facts=SimpleNamespace(source="the scene"))
    roles = [ClipRole(track([clip.seconds(index) for index in range(start, stop)], start), identity, engine)]
    return swap_shots(clip, plan, roles, folder / "tickets", decode=partial(frames, clip), **more)


def painted(frame, layers):
    """The picture with its layers laid over it, and how much of each pixel they take."""
    size, rgb = frame.rgb.shape[1::-1], frame.rgb.astype(np.float64)
    cover, colour = np.zeros(rgb.shape[:2]), np.zeros(rgb.shape)
    for layer in layers:
        alpha = layer.weight * cv2.warpAffine(layer.alpha, layer.to_frame, size)
        how = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
        picture = cv2.warpAffine(layer.rgb, layer.to_frame, size, **how)
        cover, colour = cover + alpha, colour + alpha[..., None] * picture
    return rgb * (1 - cover[..., None]) + colour, cover


def errors(clip, fitted, indices, face=OTHER):
    """Root mean square of what is laid wholly, against the scene with the face."""
    found = []
    for frame in frames(clip):
        if frame.index in indices:
            picture, cover = painted(frame, fitted.layers(frame))
            inside = cover > 0.99
            assert inside.sum() > 1000
            wanted = scene(clip.seconds(frame.index), face).astype(np.float64)
            found.append(float(np.sqrt(np.square(picture - wanted)[inside].mean())))
    fitted.close()
    return found


def darker(picture):
    return np.rint(picture * 0.7).astype(np.uint8)


def scaled(picture, width=360, height=240):
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)


def barred(picture):
    """On a square, with bars above and below."""
    return cv2.copyMakeBorder(picture, 40, 40, 0, 0, cv2.BORDER_CONSTANT)


def cut(picture):
    """On a square, its sides cut off."""
    return picture[:, 40:200]


WAYS = {
    "the same": ({}, 3),
    "24 a second": ({"rate": Fraction(24)}, 3),
    "30 a second, three more": ({"rate": Fraction(30), "short": -3}, 3),
    "two short": ({"short": 2}, 6),
    "larger": ({"like": scaled}, 3),
    "smaller": ({"like": partial(scaled, width=120, height=80)}, 5),
    "half a picture late": ({"late": 0.02}, 3),
    "early": ({"late": -0.07}, 5),
    "a wrong rate": ({"rate": Fraction(25), "told": Fraction(24)}, 3),
    "darker": ({"like": darker}, 7),
    "bars": ({"like": barred}, 3),
    "cut": ({"like": cut}, 3),
    "all at once": ({"rate": Fraction(24), "late": 0.03, "short": 1, "like": lambda rgb: darker(scaled(rgb))}, 7),
}


@pytest.mark.parametrize(("ways", "worst"), WAYS.values(), ids=WAYS)
def test_an_answer_is_fitted_whatever_its_rate_size_times_and_light(clip, tmp_path, ways, worst):
    """Grey levels by which it is off inside the face, codecs included: a quarter of a frame late would be 14."""
    fitted = played(clip, Player(**ways), tmp_path)
    assert max(errors(clip, fitted, range(1, 50, 8))) < worst
    assert fitted.notes == ()


def test_only_the_face_changes(clip, tmp_path):
    fitted = played(clip, Player(like=lambda rgb: 255 - rgb), tmp_path, start=5, stop=40)
    for before, frame in zip(frames(clip, 3, 8), frames(clip, 3, 8)):
        assert composite(frame, fitted.layers(frame)) == (frame.index >= 5)
        mesh = mesh_at(frame.index / 25)[:468, :2]
        corners = np.concatenate([mesh.min(0) - 8, mesh.max(0) + 9]).astype(int)
        for plane, old in zip(planes(frame.native), planes(before.native), strict=True):
            x0, y0, x1, y1 = corners // (clip.width // plane.shape[1])
            assert (plane[y0:y1, x0:x1] != old[y0:y1, x0:x1]).any() == (frame.index >= 5)
            plane[y0:y1, x0:x1] = old[y0:y1, x0:x1]
            assert (plane == old).all()
    assert fitted.layers(next(frames(clip, 40, 41))) == []
    fitted.close()


@pytest.mark.parametrize("first", [0, 17])
def test_a_long_shot_is_played_as_takes_that_fade_into_one_another(clip, tmp_path, first):
    starts = [0.0, 14 / 25, 27 / 25]
    engine = Player(when=lambda time: starts[len(engine.asked) - 1] + time, limits=Limits((0.5, 1.0), (64, 1000)))
    fitted = played(clip, engine, tmp_path)
    assert [float(each.take.seconds[0]) for each in fitted.takes] == pytest.approx(starts)
    assert all(each.seconds <= 1 for each in engine.asked)
    total = np.zeros(50)
    for each in fitted.takes:
        total[each.take.start : each.take.stop] += each.take.weight
    assert total == pytest.approx(np.ones(50))
    assert max(errors(clip, fitted, [first, first + 1, first + 13, 30])) < 3


def test_a_short_shot_is_as_long_as_the_engine_wants(clip, tmp_path):
    engine = Player(when=lambda time: 1 + min(time, 0.96), limits=Limits((1.6, 10), (64, 1000)))
    fitted = played(clip, engine, tmp_path, start=25, shots=(Shot(0, 25), Shot(25, 50)))
    assert engine.asked[0].frames == 40
    assert fitted.takes[0].take.sent[[0, 24, -1]].tolist() == [25, 49, 49]
    assert max(errors(clip, fitted, [30, 35, 39])) < 3


def test_times_that_change_are_followed(tmp_path):
    pts = np.cumsum([0, *np.random.default_rng(0).choice([1, 2, 3], 49)])
    unit = Fraction(1, 50)
    pictures = [scene(float(time * unit)) for time in pts]
    clip = open_clip(make_clip(tmp_path / "vfr.mkv", pictures, [int(each) * 20 for each in pts], Fraction(1, 1000)))
    times = np.array([clip.seconds(index) for index in range(50)])
    engine = Player(when=lambda time: float(times[nearest(times, np.array([time]))[0]]))  # as it was sent
    fitted = played(clip, engine, tmp_path)
    assert fitted.takes[0].take.footage.seconds == pytest.approx(clip.seconds(49), abs=0.1)
    assert max(errors(clip, fitted, range(2, 48, 5))) < 3.5


def test_pictures_are_brought_within_limits_and_back(clip, tmp_path):
    engine = Player(like=lambda rgb: cv2.copyMakeBorder(scaled(rgb, 300, 200), 50, 50, 0, 0, cv2.BORDER_CONSTANT),
                    limits=Limits((1, 10), (300, 700), (30, 60), (0.5, 1.0)))  # fmt: skip
    fitted = played(clip, engine, tmp_path)
    footage = fitted.takes[0].take.footage
    assert (footage.width, footage.height, footage.rate) == (300, 300, 50)
    assert max(errors(clip, fitted, range(1, 50, 8))) < 4


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_nothing_is_paid_unless_it_is_allowed(clip, tmp_path):
    engine = Player(cost=Decimal("0.01"))
    for most, words in ((Price(), "nothing"), (Price(Decimal("0.49")), "0.49 USD"), (Price(Decimal(9), "€"), "9 €")):
        with pytest.raises(UsageError, match=rf"1 shots of 2.0 seconds in all would cost 0.50 USD; {words} is allowed"):
            played(clip, engine, tmp_path, most=most)
    assert engine.asked == []
    played(clip, engine, tmp_path, most=Price(Decimal("0.5")))
    assert len(engine.asked) == 1


def test_what_was_paid_for_costs_nothing_the_next_time(clip, tmp_path):
    engine = Player(cost=Decimal("0.01"))
    played(clip, engine, tmp_path, most=Price(Decimal(1))).close()
    assert played(clip, engine, tmp_path).takes
    assert len(engine.asked) == 1
    engine.key = "player 2"
    with pytest.raises(UsageError, match="would cost"):
        played(clip, engine, tmp_path)


def test_pictures_of_a_person_leave_the_machine_with_their_consent(clip, tmp_path):
    engine = Player(uploads=True)
    other = replace(SOMEONE, consent=Consent("Ada", ("short film",)))
    with pytest.raises(ConsentError, match="another machine"):
        played(clip, engine, tmp_path, identity=other)
    assert engine.asked == []
    assert played(clip, engine, tmp_path, identity=replace(other, consent=Consent("Ada", ("remote",)))).takes


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_answer_that_ends_early_is_told_and_kept(clip, tmp_path):
    told = r"the answer of player to frames 0 to 49 lacks 0.8\d of 2.00 seconds .*the file is kept: (.*);"
    with pytest.raises(EngineError, match=told) as raised:
        played(clip, Player(short=22), tmp_path)
    assert Path(re.search(told, str(raised.value))[1]).is_file()


def test_an_answer_that_is_damaged_is_told_and_fetched_again_for_nothing(clip, tmp_path):
    engine = Player()
    first = played(clip, engine, tmp_path)
    first.close()
    ticket = next((tmp_path / "tickets").glob("*.ticket"))
    answer = ticket.with_suffix(".mp4")
    content = answer.read_bytes()[:2000]
    answer.write_bytes(content)
    said = json.loads(ticket.read_text())
    ticket.write_text(json.dumps({**said, "digest": hashlib.sha256(content).hexdigest()}))
    with pytest.raises(EngineError, match=r"cannot be read .*the file is kept"):
        played(clip, engine, tmp_path)
    answer.unlink()
    assert played(clip, engine, tmp_path).takes
    assert json.loads(ticket.read_text())["job"] == "job 1"


def test_an_engine_that_fails_is_told_with_its_frames(clip, tmp_path):
    class Fails(Player):
        def swap(self, *_):
            raise RuntimeError("no connection")

    with pytest.raises(EngineError, match="engine player failed at frames 5 to 39: no connection"):
        played(clip, Fails(), tmp_path, start=5, stop=40)


def test_an_answer_that_moves_otherwise_is_doubted(clip, tmp_path):
    fitted = played(clip, Player(when=lambda time: 7.3 - time), tmp_path)
    assert "look at it" in fitted.notes[0]


# -- takes ------------------------------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(16, 4000), st.integers(16, 4000)), st.integers(16, 800), st.floats(1, 8),
    st.floats(0.3, 1), st.floats(1, 3),
)  # fmt: skip
def test_files_lie_within_limits(size, least, times, narrow, wide):
    most = int(least * 2 * times * wide / narrow) + 4
    limits = Limits((1, 10), (least, most), aspect=(narrow, wide), pixels=most * most)
    (width, height), to_sent = framed(size, limits)
    assert width % 2 == height % 2 == 0
    assert least <= min(width, height) <= max(width, height) <= most
    assert narrow * 0.9 - 2 / height <= width / height <= wide * 1.1 + 2 / height
    ends = geometry.apply(to_sent, np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]]))
    assert (ends[0] >= -0.51).all()
    assert (ends[1] <= np.array([width, height]) - 0.49).all()


@pytest.mark.parametrize(("rate", "rates", "wanted"), [
    (25, (24, 60), 25), (Fraction(24000, 1001), (24, 60), 24), (12, (24, 60), 24), (120, (24, 60), 60),
    (15, (24, 60), 30), (100, (24, 30), 25), (25, (24, 24), 24), (60, (24, 31), 30),
])  # fmt: skip
def test_a_rate_is_the_clips_own_or_next_to_it(rate, rates, wanted):
    assert rate_within(Fraction(rate), rates) == wanted


def test_whole_shots_are_played_once_and_fitted_in(tmp_path):
    source = scene_clip(tmp_path / "scene.mp4", 50)
    known = open_clip(source)
    seen = track([known.seconds(index) for index in range(50)])
    write_plan(tmp_path / "clip.plan", facts_of(known, "embedded"), Shot(0, 50), [Shot(0, 50)], [seen])
    player = Player(cost=Decimal("0.01"))
    settings = Settings(
        ReadSettings(plan=tmp_path / "clip.plan"),
        SwapSettings("player", most="1 USD"),
        WriteSettings(lossless=True, preset="ultrafast", segment=10),
    )
    free = replace(settings, swap=SwapSettings("player"))
    words, more = (source, Role(SOMEONE), tmp_path / "out.mp4"), {"load": lambda *_: nullcontext(player)}
    with pytest.raises(UsageError, match="USD"):
        swap_clip(*words, free, **more)
    assert player.asked == []

    def stopped(stage, done, _total):
        if stage == "rendering" and done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swap_clip(*words, settings, report=stopped, **more)
    done = swap_clip(*words, settings, **more)
    assert len(player.asked) == 1, "paid for once"
    assert done.swapped == 50
    for before, after in zip(frames(known), frames(open_clip(tmp_path / "out.mp4")), strict=True):
        assert np.abs(before.rgb.astype(int) - after.rgb).mean() > 0.5


@pytest.mark.parametrize("quote", [None, 5, Decimal("nan"), Decimal(-1), 1.5])
def test_a_quote_is_a_price_from_nothing_on(clip, tmp_path, quote):
    """One below nothing would pay for another engine's."""
    player = Player()
    player.quote = lambda footage: Price(quote) if isinstance(quote, (Decimal, float)) else quote
    with pytest.raises(EngineError, match="the engine player failed at frames"):
        played(clip, player, tmp_path)
    assert player.asked == []


@pytest.mark.parametrize("wrong", [{"uploads": None}, {"key": None}, {"label": 5}, {"limits": None}, {"name": None}])
def test_what_decides_over_consent_and_money_is_said(wrong):
    with pytest.raises(UsageError, match=f"the engine Player does not say its `{next(iter(wrong))}`"):
        Engines({EngineChoice("player"): Player(**wrong)})
