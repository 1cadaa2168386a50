"""The plan file: what goes in comes out to the last bit, what does not fit is refused, what is hostile does no harm."""

import contextlib
import io
import json
import pickle
import tracemalloc
import zipfile
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rendered import facts_for, write_plan
from test_fuzz import changes

from vidswap.errors import InputError, UsageError
from vidswap.plan import packing
from vidswap.plan.file import PIECE, decode_mesh, encode_mesh, open_plan, save_plan, title
from vidswap.types import PER_FRAME, Shot, TrackPart

FACTS, SPAN = facts_for(200, versions={"vidswap": "0.1.0", "tracks": "1"}), Shot(10, 110)
SHOTS = [Shot(10, 60), Shot(60, 110)]


def track(number: int, start: int, stop: int, seed: int = 0) -> TrackPart:
    rng = np.random.default_rng(seed)
    count = stop - start
    mesh = (rng.uniform(50, 300, (478, 3)) + rng.normal(0, 0.3, (count, 478, 3)).cumsum(0)).astype(np.float32)
    embedding = rng.normal(size=16).astype(np.float32)
    to_frame = np.repeat(np.array([[[4.0, 0.5, 60], [-0.5, 4, 50]]]), count, 0) + rng.normal(size=(count, 1, 1))
    return TrackPart(number, number, start, mesh, rng.random(count) > 0.2, embedding,
                 rng.integers(0, 256, (count, 8, 8)).astype(np.uint8), to_frame)  # fmt: skip


TRACKS = [track(0, 10, 60), track(1, 20, 57, seed=1), track(2, 60, 110, seed=2)]


@pytest.fixture
def path(tmp_path) -> Path:
    write_plan(tmp_path / "clip.plan", FACTS, SPAN, SHOTS, TRACKS)
    return tmp_path / "clip.plan"


def same(one: TrackPart, other: TrackPart) -> bool:
    assert (one.id, one.person, one.start) == (other.id, other.person, other.start)
    return all(np.array_equal(getattr(one, kind), getattr(other, kind)) for kind in (*PER_FRAME, "embedding"))


def read(path: Path) -> list[TrackPart]:
    with open_plan(path) as plan:
        return [trail.part(trail.start, trail.stop) for trail in plan.tracks]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert "vidswap plan" in caught.value.hint
    return caught.value.message


def rewritten(path: Path, header=lambda header: None, **members: bytes) -> Path:
    """The plan with another header, and other members (b"": none)."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    facts = json.loads(content["header.npy"][packing.HEAD :])
    header(facts)
    array = io.BytesIO()
    np.save(array, np.frombuffer(json.dumps(facts).encode(), np.uint8))
    content |= {"header.npy": array.getvalue()} | {f"{name}.npy": member for name, member in members.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, member in content.items():
            if member:
                new.writestr(name, member)
    return path


def test_what_was_written_is_read_to_the_last_bit(path):
    with open_plan(path) as plan:
        assert (plan.name, plan.facts, plan.span, plan.analysed) == ("clip.mp4", FACTS, SPAN, SPAN)
        assert list(plan.shots) == SHOTS
        for trail, whole in zip(plan.tracks, TRACKS, strict=True):
            assert same(trail.part(trail.start, trail.stop), whole)
            assert len(trail) == len(whole)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3 * PIECE), st.data())
def test_any_part_is_that_of_the_track(tmp_path_factory, count, data):
    path = tmp_path_factory.mktemp("plan") / "a.plan"
    start = data.draw(st.integers(0, 50))
    whole = track(7, start, start + count)
    write_plan(path, FACTS, Shot(start, start + count), [Shot(start, start + count)], [whole])
    first = data.draw(st.integers(start, start + count - 1))
    last = data.draw(st.integers(first + 1, start + count))
    with open_plan(path) as plan:
        assert same(plan.tracks[0].part(first, last), whole.part(first, last))


SHAPES = st.integers(1, 4).map(lambda count: (count, 478, 3))


@given(arrays.arrays(np.uint32, SHAPES, elements=st.integers(0, 2**32 - 1)))
@settings(max_examples=30, deadline=None)
def test_meshes_of_any_bits_are_packed_without_loss(bits):
    mesh = bits.view(np.float32)
    assert np.array_equal(decode_mesh(encode_mesh(mesh), len(mesh)).view(np.uint32), bits)


def test_a_plan_is_an_npz_without_pickle_and_equal_for_equal_contents(path, tmp_path):
    with np.load(path, allow_pickle=False) as content:
        assert json.loads(bytes(content["header"]))["name"] == "clip.mp4"
        assert np.array_equal(content["seen-1-1"], TRACKS[1].seen[PIECE:])
        assert np.array_equal(content["embeddings"], np.stack([each.embedding for each in TRACKS]))
    write_plan(tmp_path / "again.plan", FACTS, SPAN, SHOTS, TRACKS)
    assert (tmp_path / "again.plan").read_bytes() == path.read_bytes()


def test_a_plan_without_anybody_is_one(tmp_path):
    write_plan(tmp_path / "a.plan", FACTS, SPAN, SHOTS, [])
    with open_plan(tmp_path / "a.plan") as plan:
        assert (plan.tracks, len(plan.shots)) == ((), 2)


def test_a_narrower_span_holds_what_lies_in_it(path):
    with open_plan(path) as plan:
        narrow = plan.within(Shot(40, 58))
        assert (narrow.span, narrow.shots) == (Shot(40, 58), (Shot(40, 58),))
        assert [(each.id, each.start, each.stop) for each in narrow.tracks] == [(0, 40, 58), (1, 40, 57)]
        assert same(narrow.tracks[1].part(41, 57), TRACKS[1].part(41, 57))
        assert [each.screen for each in narrow.tracks] == pytest.approx([180, 170])
        assert plan.within(plan.span).tracks[2].stop == 110


def test_a_plan_that_fits_is_taken(path):
    with open_plan(path) as plan:
        plan.refuse_unless(FACTS, SPAN)
        plan.refuse_unless(FACTS, Shot(11, 109))


@pytest.mark.parametrize(("change", "said"), [
    ({"source": "ab13"}, "another clip (clip.mp4)"),
    ({"versions": {"vidswap": "0.2.0", "tracks": "1"}}, "vidswap 0.1.0, here 0.2.0"),
    ({"versions": {"vidswap": "0.1.0", "tracks": "2"}}, "tracks 1, here 2"),
    ({"versions": {"vidswap": "0.1.0"}}, "tracks 1, here None"),
    ({"versions": {"vidswap": "0.1.0", "tracks": "1", "shots": "1"}}, "another version"),
    ({"models": {"mesh": "ce"}}, "other face models"),
    ({"settings": {"every": 4}}, "other settings"),
])  # fmt: skip
def test_a_plan_that_does_not_fit_says_what_differs(path, change, said):
    with open_plan(path) as plan, pytest.raises(UsageError) as caught:
        plan.refuse_unless(replace(FACTS, **change), SPAN)
    assert said in caught.value.message
    assert "make it anew" in caught.value.hint


@pytest.mark.parametrize("span", [Shot(9, 110), Shot(10, 111)])
def test_a_plan_that_does_not_cover_what_is_wanted_says_so(path, span):
    with open_plan(path) as plan, pytest.raises(UsageError, match="10f to 110f"):
        plan.refuse_unless(FACTS, span)


def test_no_file_and_other_files_are_told(tmp_path):
    assert "no plan" in refused(tmp_path / "none.plan")
    for name, content in {"empty": b"", "words": b"a film", "zip": b"PK\5\6" + bytes(18)}.items():
        (tmp_path / name).write_bytes(content)
        assert name in refused(tmp_path / name)
    assert "folder" not in title(tmp_path / "zip")
    assert title(tmp_path / "zip") == "damaged"
    refused(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_plan_never_does_more_than_raise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("plan") / "a.plan"
    write_plan(path, FACTS, SPAN, SHOTS, TRACKS[1:])
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        tail = data.draw(st.booleans())  # where the archive says what lies where
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(len(content) - 800 if tail else 0, len(content) - 1))
            content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert all(same(*pair) for pair in zip(read(path), TRACKS[1:], strict=True))


@pytest.mark.parametrize("change", [
    {"format": 1}, {"format": "2"}, {"grid": 2**20}, {"grid": 9}, {"grid": -1}, {"embedding": 2**40},
    {"embedding": "x"}, {"shots": 3}, {"shots": [[5, 1]]}, {"shots": [[0.5, 1]]},
    {"tracks": [[0, 0, 10, 110, 1.0]] * 99}, {"tracks": []}, {"tracks": [[0, 0, 0, 10**9, 1.0]]},
    {"tracks": [[0, 0, 10, 10, 1.0]]}, {"tracks": None},
    {"tracks": [[0, 0, 10, 110]]}, {"facts": []}, {"facts": {}}, {"facts": {**asdict(FACTS), "versions": []}},
    {"facts": {**asdict(FACTS), "more": 1}}, {"facts": {**asdict(FACTS), "size": [640, 360]}}, {"span": [10, 201]},
    {"span": [9, 110]}, {"analysed": [11, 110]}, {"analysed": [0, 201]}, {"more": 1},
])  # fmt: skip
def test_a_header_that_lies_is_refused(path, change):
    assert "damaged" in refused(rewritten(path, lambda header: header.update(change)))


def test_a_header_that_is_no_object_is_refused(path):
    for words in (b"[" * 100_000, b"7", b"{}", b"\xff", b""):
        with zipfile.ZipFile(path, "w") as archive:
            file = io.BytesIO()
            np.save(file, np.frombuffer(words, np.uint8))
            archive.writestr("header.npy", file.getvalue())
        assert "damaged" in refused(path)


def test_parts_of_another_kind_are_refused(path):
    def saved(array) -> bytes:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        return file.getvalue()

    for member in (b"", b"x", saved(np.zeros(3)), saved(np.array([{}], object)), bytes(10**8)):
        original = path.read_bytes()
        assert "damaged" in refused(rewritten(path, **{"visible-0-0": member}))
        path.write_bytes(original)
    assert "damaged" in refused(rewritten(path, surprise=b"more"))


@pytest.mark.parametrize("mesh", [np.nan, np.inf, 1e30, 5.0])
def test_meshes_that_no_face_has_are_refused(tmp_path, mesh):
    broken = TrackPart(**{**vars(TRACKS[0]), "mesh": np.full_like(TRACKS[0].mesh, mesh)})
    write_plan(tmp_path / "a.plan", FACTS, SPAN, SHOTS, [broken])
    assert "no face" in refused(tmp_path / "a.plan")


def test_a_bomb_is_refused_before_it_is_unpacked(path):
    """64 MB of zeros take 64 kB in the archive."""
    bomb = io.BytesIO()
    np.save(bomb, np.zeros(2**26, np.uint8))
    rewritten(path, embeddings=bomb.getvalue())
    assert path.stat().st_size < 2e6
    tracemalloc.start()
    said = refused(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "another size" in said
    assert most < 8e6


def test_a_name_is_shown_without_what_terminals_obey(path):
    rewritten(path, lambda header: header.update(name="a\x1b[2J\nb"))
    assert title(path) == "a?[2J?b, frames 10 to 110, tracks: 3"


# -- plans that lie, of every kind ------------------------------------------------------------------------------------


def small(folder: Path, **facts: object) -> Path:
    """A plan of a few hundred bytes, whose header says whatever is wanted."""
    write_plan(folder / "small.plan", FACTS, SPAN, [], [])
    return rewritten(folder / "small.plan", lambda header: header.update(facts))


@pytest.mark.parametrize("claim", [
    {"tracks": [[0, 0, 0, 10**8, 1]]}, {"tracks": [[n, 0, 0, 10**8, 1] for n in range(9)]},
    {"shots": [[0, 10**8]] * 1000}, {"tracks": [[0, 0, 0, 32, 1]] * 500},
    {"grid": 256, "embedding": 8192, "tracks": [[0, 0, 0, 10**8, 1]]},
], ids=range(5))  # fmt: skip
def test_what_a_header_claims_must_be_there(tmp_path, claim):
    """Every frame that it tells of takes bytes in the file: nothing is made of a few numbers."""
    long = {"facts": asdict(facts_for(10**8)), "span": [0, 10**8], "analysed": [0, 10**8]}
    path = small(tmp_path, **long, **claim)
    tracemalloc.start()
    said = refused(path) if "tracks" in claim else read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "missing" in said or said == []
    assert most < 8e6


def test_a_header_that_unpacks_to_much_more_than_it_is_is_refused(tmp_path):
    path = small(tmp_path, shots=[[]] * 1_000_000)
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    assert "header is too large" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


HOSTILE = st.sampled_from([None, True, -1, 0, 1, 2**31, 10**8, 2**63, 1e308, float("nan"), "", "\x1b[2J", [], {}, [[]],
                           [0], [0, 10**8], [[0, 10**8]], [[0, 0, 0, 10**8, 1]], {"a": [[[[[]]]]]}])  # fmt: skip


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The ways to all that JSON holds."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for key, each in inside for way in places(each, (*path, key)))]


def harmed(path: Path) -> None:
    """Whatever was changed: the plan is refused in words, or all of it can be read."""
    with contextlib.suppress(InputError, UsageError), open_plan(path) as plan:
        plan.refuse_unless(FACTS, SPAN)
        for trail in plan.tracks:
            assert len(trail.part(trail.start, trail.stop)) == len(trail)
            list(trail.seen())
    title(path)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_no_header_does_harm(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("lie") / "a.plan"
    write_plan(path, FACTS, SPAN, SHOTS, [track(0, 10, 13)])

    def lie(header: dict) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            way = data.draw(st.sampled_from(places(header)[1:]))
            inside = header
            for step in way[:-1]:
                inside = inside[step]
            inside[way[-1]] = deepcopy(data.draw(HOSTILE))

    harmed(rewritten(path, lie))


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, min_size=1, max_size=3), st.booleans())
def test_no_bytes_do_harm(tmp_path_factory, damage, ends):
    """`ends`: where an archive says what it holds."""
    path = tmp_path_factory.mktemp("harm") / "a.plan"
    write_plan(path, FACTS, SPAN, SHOTS, [track(0, 10, 13)])
    content = path.read_bytes()
    kept, harmful = (content[:-900], content[-900:]) if ends else (b"", content)
    for change in damage:
        harmful = change.apply(harmful, [content])
    path.write_bytes(kept + harmful)
    harmed(path)


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError])
@pytest.mark.parametrize("place", ["file.parts_of", "header._refuse_unlikely", "file.decode_mesh", "file.plausible"])
def test_our_own_mistakes_are_not_called_damage(path, monkeypatch, place, error):
    def mistaken(*_):
        raise error("our own")

    monkeypatch.setattr(f"vidswap.plan.{place}", mistaken)
    with pytest.raises(error, match="our own"):
        read(path)


def test_a_part_of_a_plan_is_a_plan(path, tmp_path):
    with open_plan(path) as plan:
        save_plan(plan, tmp_path / "whole.plan")
        save_plan(plan.within(Shot(40, 58)), tmp_path / "part.plan")
        assert (tmp_path / "whole.plan").read_bytes() == path.read_bytes()
        with open_plan(tmp_path / "part.plan") as part:
            assert (part.span, part.analysed, part.key) == (Shot(40, 58), SPAN, plan.key)
            for one, other in zip(part.tracks, plan.within(Shot(40, 58)).tracks, strict=True):
                assert same(one.part(one.start, one.stop), other.part(other.start, other.stop))
            with pytest.raises(UsageError, match="40f to 58f"):
                part.refuse_unless(FACTS, Shot(39, 58))


def test_a_plan_crosses_to_another_process_without_its_open_file(path, tmp_path):
    with open_plan(path) as plan:
        sent = pickle.dumps(plan.within(Shot(15, 100)))
    assert len(sent) < 3000, "of the tracks no frame is sent"
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        found = other.submit(_meshes, sent).result()
    assert [np.array_equal(mesh, track.part(max(track.start, 15), min(track.stop, 100)).mesh)
            for mesh, track in zip(found, TRACKS, strict=True)] == [True] * 3  # fmt: skip
    write_plan(path, FACTS, SPAN, SHOTS, TRACKS[:1])
    with pytest.raises(InputError, match="another one by now"):
        _meshes(sent)
    path.unlink()
    with pytest.raises(InputError, match="there is no plan"):
        _meshes(sent)


def _meshes(sent: bytes) -> list[np.ndarray]:
    return [track.part(track.start, track.stop).mesh for track in pickle.loads(sent).tracks]
