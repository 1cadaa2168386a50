"""Faces become tracks: matched, separated by cuts, found again, each once."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.face import geometry, landmarks
from vidswap.face.landmarks import mean_face
from vidswap.plan.persons import embeddings_of, persons_of
from vidswap.read.dissolves import Dissolve
from vidswap.read.tracks import GAP, tracks_in
from vidswap.types import Face, Shot, TrackPart

MEAN = mean_face()
GRID = 16


def person(number):
    """A person's embedding; any two are at right angles."""
    return np.eye(8, dtype=np.float32)[number]


def face(x, y=100.0, *, size=60.0, who=None, score=0.9, visible=255):
    mesh = geometry.posed(MEAN, (size, np.eye(3), np.array([x, y, 0.0])))
    box = geometry.bounds(mesh)
    cell = 2 * size / GRID
    to_frame = np.array([[cell, 0, x - size + cell / 2], [0, cell, y - size + cell / 2]])
    seen = np.full((GRID, GRID), visible, np.uint8)
    return Face(box, mesh, score, None if who is None else person(who), seen, to_frame)


def find_tracks(
    shots: Sequence[Shot], faces: Sequence[list[Face]], first: int, dissolves: Sequence[Dissolve] = ()
) -> list[TrackPart]:
    """The tracks of all shots, as the first pass finds them; `faces[i]` are those of frame `first + i`."""
    found = []
    for shot in shots:
        found += tracks_in(shot, faces, first, len(found), dissolves)
    sketches = [sketch for _, sketch in found]
    told = zip(found, persons_of(sketches), embeddings_of(sketches))
    return [replace(track.part(track.start, track.stop), person=person, embedding=embedding)
            for (track, _), person, embedding in told]  # fmt: skip


def across(count, start, speed, **looks):
    """A face in every frame, in lists as the detector gives them."""
    return [[face(start + speed * i, **looks)] for i in range(count)]


def places(track):
    return track.mesh[:, landmarks.RIGID, 0].mean(1)


def test_one_face_is_one_track():
    (track,) = find_tracks([Shot(0, 20)], across(20, 100, 3), 0)
    assert (track.start, track.stop, track.id, track.person) == (0, 20, 0, 0)
    assert track.seen.all()
    np.testing.assert_allclose(places(track), 100 + 3 * np.arange(20), atol=0.2)


def test_frames_are_counted_from_the_first():
    tracks = find_tracks([Shot(40, 80)], across(20, 100, 3), 50)
    assert [(track.start, track.stop) for track in tracks] == [(50, 70)]


def test_nobody_is_no_track():
    assert find_tracks([Shot(0, 5)], [[] for _ in range(5)], 0) == []


def test_two_faces_side_by_side_keep_to_themselves_whatever_their_order():
    faces = [[face(100, who=0), face(200, who=1)][:: 1 if i % 2 else -1] for i in range(20)]
    tracks = find_tracks([Shot(0, 20)], faces, 0)
    assert [len(track) for track in tracks] == [20, 20]
    assert [np.ptp(places(track)) < 1 for track in tracks] == [True, True]


@pytest.mark.parametrize("known", [True, False])
def test_two_faces_that_cross_behind_each_other_are_not_confused(known):
    looks = [{"who": i if known else None} for i in range(2)]
    faces = []
    for i in range(41):
        front, back = face(100 + 8 * i, **looks[0]), face(420 - 8 * i, y=110, size=50, **looks[1])
        hidden = abs((100 + 8 * i) - (420 - 8 * i)) < 40
        faces.append([front] if hidden else [front, back])
    front, back = sorted(find_tracks([Shot(0, 41)], faces, 0), key=lambda track: places(track)[0])
    assert (len(front), len(back)) == (41, 41)
    np.testing.assert_allclose(places(front), 100 + 8 * np.arange(41), atol=1)
    np.testing.assert_allclose(places(back), 420 - 8 * np.arange(41), atol=2)
    assert front.seen.all()
    assert 0 < (~back.seen).sum() < 8


def test_what_is_filled_behind_another_face_is_not_visible():
    def both(i):
        front, back = face(100 + 8 * i), face(420 - 8 * i, size=50)
        return [front] if abs(16 * i - 320) < 40 else [front, back]

    tracks = find_tracks([Shot(0, 41)], [both(i) for i in range(41)], 0)
    back = min(tracks, key=lambda track: track.seen.sum())
    middle = GRID // 2
    assert (back.visible[~back.seen][:, middle, middle] == 0).all()
    assert (back.visible[back.seen] == 255).all()


@pytest.mark.parametrize(("beside", "shown"), [(0, False), (15, False), (150, True)])
def test_where_nothing_resembles_a_face_the_filled_one_is_not_visible(beside, shown):
    """One of score 0 says so, of its own place, and is no face itself."""
    faces = across(20, 100, 3)
    faces[8], faces[9] = [replace(face(124 + beside), score=0.0)], []
    (track,) = find_tracks([Shot(0, 20)], faces, 0)
    assert list(np.flatnonzero(~track.seen)) == [8, 9]
    assert track.visible[8].any() == shown
    assert track.visible[9].all()


def test_a_gap_is_filled_and_said_to_be():
    faces = across(40, 100, 3)
    faces[15:25] = [[] for _ in range(10)]
    (track,) = find_tracks([Shot(0, 40)], faces, 0)
    assert not track.seen[15:25].any()
    assert track.seen.sum() == 30
    np.testing.assert_allclose(places(track), 100 + 3 * np.arange(40), atol=1)
    middles = [(to_frame @ [GRID / 2 - 0.5, GRID / 2 - 0.5, 1])[0] for to_frame in track.visible_to_frame]
    np.testing.assert_allclose(middles, 100 + 3 * np.arange(40), atol=1)


def test_nothing_is_added_before_or_after_or_over_a_long_gap():
    faces = [[] for _ in range(5)] + across(10, 100, 0) + [[] for _ in range(GAP + 1)] + across(10, 100, 0) + [[]]
    tracks = find_tracks([Shot(0, len(faces))], faces, 0)
    assert [(track.start, len(track)) for track in tracks] == [(5, 10), (16 + GAP, 10)]


def test_a_track_never_crosses_a_cut():
    tracks = find_tracks([Shot(0, 12), Shot(12, 30)], across(30, 100, 0, who=0), 0)
    assert [(track.start, track.stop) for track in tracks] == [(0, 12), (12, 30)]
    assert [track.id for track in tracks] == [0, 1]


def test_the_same_person_is_found_again_after_a_cut_and_the_one_seen_most_is_0():
    faces = across(10, 100, 0, who=3) + across(10, 300, 0, who=5, size=90) + across(10, 200, 0, who=3)
    shots = [Shot(0, 10), Shot(10, 20), Shot(20, 30)]
    assert [track.person for track in find_tracks(shots, faces, 0)] == [0, 1, 0]


def test_size_counts_as_much_as_time():
    faces = across(10, 100, 0, who=1, size=40) + across(10, 300, 0, who=2, size=120)
    assert [track.person for track in find_tracks([Shot(0, 10), Shot(10, 20)], faces, 0)] == [1, 0]


def test_two_on_screen_together_are_two_persons_however_alike():
    faces = [[face(100, who=0), face(300, who=0)] for _ in range(10)]
    assert sorted(track.person for track in find_tracks([Shot(0, 10)], faces, 0)) == [0, 1]


def test_without_embeddings_each_track_is_a_person():
    tracks = find_tracks([Shot(0, 10), Shot(10, 20)], across(20, 100, 0), 0)
    assert [track.person for track in tracks] == [0, 1]
    assert {len(track.embedding) for track in tracks} == {1}


def test_a_good_look_outweighs_a_poor_one():
    faces = across(5, 100, 0, who=0, score=0.95) + across(5, 100, 0, who=1, score=0.3, size=55)
    for one in faces[5:]:  # alike enough not to be someone else
        one[0].embedding[:] = (person(1) + 0.3 * person(0)) / np.sqrt(1.09)
    (track,) = find_tracks([Shot(0, 10)], faces, 0)
    assert track.embedding[0] > 2 * track.embedding[1]
    np.testing.assert_allclose(np.linalg.norm(track.embedding), 1, rtol=1e-5)


def test_someone_else_in_the_same_place_is_another_track():
    faces = across(12, 100, 0, who=0) + across(12, 100, 0, who=1)
    assert [(track.start, track.stop) for track in find_tracks([Shot(0, 24)], faces, 0)] == [(0, 12), (12, 24)]


def turning(shares, every=8, alike=0.3):
    """A face in one place that is more and more another person's, known anew every few frames."""
    other = alike * person(0) + np.sqrt(1 - alike**2) * person(1)
    faces = across(len(shares), 100, 0, who=0)
    for i, ((one,), share) in enumerate(zip(faces, shares)):
        mixed = person(0) + share * (other - person(0))
        embedding = (mixed / np.linalg.norm(mixed)).astype(np.float32)
        faces[i] = [replace(one, embedding=embedding if i % every == 0 else None)]
    return faces


FADE = np.clip((np.arange(90) - 33) / 24, 0, 1)  # from frame 33 to 57


def test_a_track_ends_where_its_face_dissolves_into_another():
    tracks = find_tracks([Shot(0, 90)], turning(FADE), 0, [Dissolve(36, 45, 54)])
    assert [(track.start, track.stop, track.person) for track in tracks] == [(0, 45, 0), (45, 90, 1)]


def test_what_a_dissolve_mixes_is_nobodys_look():
    tracks = find_tracks([Shot(0, 90)], turning(FADE), 0, [Dissolve(36, 45, 54)])
    assert tracks[0].embedding @ person(0) > 0.999
    assert tracks[1].embedding @ person(0) == pytest.approx(0.3, abs=0.01)


def test_a_face_that_leaps_within_a_dissolve_turns_there():
    faces = turning(FADE)
    for i in range(41, 90):
        faces[i] = [replace(face(114, 100), embedding=faces[i][0].embedding)]
    tracks = find_tracks([Shot(0, 90)], faces, 0, [Dissolve(36, 45, 54)])
    assert [(track.start, track.stop) for track in tracks] == [(0, 41), (41, 90)]


def test_one_person_on_both_sides_of_a_dissolve_is_one_track():
    faces = turning(FADE, alike=0.85)
    assert len(find_tracks([Shot(0, 90)], faces, 0, [Dissolve(36, 45, 54)])) == 1


def test_a_face_that_fades_away_is_not_cut_off():
    faces = [[face(100, who=0)] if i < 50 else [] for i in range(90)]
    for i in range(40, 90):
        faces[i].append(face(300, who=1))
    tracks = find_tracks([Shot(0, 90)], faces, 0, [Dissolve(36, 45, 54)])
    assert [(track.start, track.stop) for track in tracks] == [(0, 50), (40, 90)]


@pytest.mark.parametrize("shares", [np.arange(90) >= 45, FADE])
def test_a_face_that_turns_into_anothers_unseen_is_another_track(shares):
    """No cut and no dissolve was found: both sit in one chair before one wall."""
    faces = turning(shares.astype(float))
    tracks = find_tracks([Shot(0, 90)], faces, 0)
    assert [track.person for track in tracks] == [0, 1]
    assert abs(tracks[0].stop - 45) <= 12
    assert tracks[1].start == tracks[0].stop


def test_who_is_led_to_by_a_dissolve_has_one_track_from_there_on():
    looks = [face(100 + 20 * (i > 20), who=None if i % 8 else int(i > 20)) for i in range(60)]
    tracks = find_tracks([Shot(0, 60)], [[look] for look in looks], 0, [Dissolve(15, 19, 23)])
    assert [(track.start, track.stop, track.person) for track in tracks] == [(0, 21, 1), (21, 60, 0)]


def test_of_a_film_that_begins_amid_a_dissolve_the_first_person_is_another():
    looks = [face(100 + 20 * (i > 12), who=None if i % 8 else int(i > 12)) for i in range(40)]
    tracks = find_tracks([Shot(0, 40)], [[look] for look in looks], 0, [Dissolve(0, 8, 15)])
    assert [(track.start, track.stop, track.person) for track in tracks] == [(0, 13, 1), (13, 40, 0)]


def test_who_takes_anothers_place_unseen_has_it_from_the_leap_on():
    looks = [face(100 + 20 * (i >= 12), who=None if i % 8 else int(i >= 12)) for i in range(40)]
    tracks = find_tracks([Shot(0, 40)], [[look] for look in looks], 0)
    assert [(track.start, track.stop, track.person) for track in tracks] == [(0, 12, 1), (12, 40, 0)]


def test_between_two_looks_a_face_stays_with_the_track_that_had_it_last():
    looks = [[face(100, who=None if i % 8 else int(i >= 16))] for i in range(48)]
    tracks = find_tracks([Shot(0, 48)], looks, 0)
    assert [(track.start, track.stop, track.seen.all()) for track in tracks] == [(0, 16, True), (16, 48, True)]


def test_looks_that_differ_for_a_moment_are_no_turn():
    shares = np.zeros(120)
    shares[40:60] = 1  # a hand before the face, a head that turns away: two or three looks
    assert len(find_tracks([Shot(0, 120)], turning(shares, alike=0.2), 0)) == 1


def test_a_face_found_twice_is_one_track():
    faces = [[face(100), face(104, score=0.6)] for _ in range(15)]
    assert len(find_tracks([Shot(0, 15)], faces, 0)) == 1


def test_a_flash_of_a_face_is_dropped_but_a_short_shot_is_kept():
    flash = [[face(100, score=0.5)] if i in (7, 8) else [] for i in range(30)]
    assert find_tracks([Shot(0, 30)], flash, 0) == []
    assert len(find_tracks([Shot(0, 2)], across(2, 100, 0), 0)) == 1


def test_what_is_covered_all_the_time_is_no_track():
    assert find_tracks([Shot(0, 20)], across(20, 100, 0, visible=20), 0) == []


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_however_faces_come_and_go_every_frame_has_a_face_in_one_track_at_most(data):
    spots = [100.0, 260.0, 420.0]
    shown = data.draw(st.lists(st.sets(st.sampled_from(spots)), min_size=1, max_size=40))
    cut = data.draw(st.integers(0, len(shown)))
    shots = [Shot(a, b) for a, b in pairwise([0, cut, len(shown)]) if b > a]
    tracks = find_tracks(shots, [[face(x) for x in sorted(spots)] for spots in shown], 0)
    for track in tracks:
        assert any(shot.start <= track.start and track.stop <= shot.stop for shot in shots)
        assert track.seen[0]
        assert track.seen[-1]
        assert np.ptp(places(track)) < 1
        spot = min(spots, key=lambda x: abs(x - places(track)[0]))
        present = [spot in shown[i] for i in range(track.start, track.stop)]
        np.testing.assert_array_equal(track.seen, present)
    for a in tracks:
        for b in tracks:
            if a is not b and a.start < b.stop and b.start < a.stop:
                assert abs(places(a)[0] - places(b)[0]) > 100
