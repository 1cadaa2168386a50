"""Pictures in order -> the faces of each: looked for now and then, followed between, forwards and backwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from vidswap.face import geometry
from vidswap.face.boxes import SAME, area, distinct, inside, meets, overlap, within
from vidswap.read.faces import LYING, FaceReader
from vidswap.read.tracks import GAP
from vidswap.types import Array, Face

HELD = 1 << 28  # bytes of pictures that are kept to follow faces back
RARELY = 4  # looks, one of which is at the turned picture as well
NOTHING = 0.02  # a score below which nothing resembles a face, not even through a blur or behind a hand
WHOLE = 0.98  # part of a mesh that lies in the picture, of a face that its edge does not cut
PART = 0.25  # of a face's box, how large that of a part of it is at most which was taken for a face of its own
LEAVING = 0.6  # part of a mesh that lies in the picture, of a face that has left it when it is lost


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture (H, W, 3) and the faces in it, to which those are added that are followed back to it."""

    rgb: Array
    faces: list[Face]


@dataclass(eq=False)
class _State:
    """What is remembered from one picture of a shot to the next: `faces` of the last one; frames since the last `look`
    and since a face was `lost` from sight; how many `looks` there were, and whether a face was `at_edge`, cut by the
    picture's, at the last; the `turns` at which faces were found; where those were that are `gone`, and for how many
    frames."""

    faces: Sequence[Face] = ()
    looked: int = 0
    lost: int = 0
    looks: int = 0
    at_edge: bool = False
    turns: set[int] = field(default_factory=set)
    gone: list[tuple[Face, int]] = field(default_factory=list)


def follow_faces(frames: Iterable[tuple[int, Array, bool]], reader: FaceReader, every: int) -> Iterator[list[Face]]:
    """The faces of each (index, rgb (H, W, 3), is there a cut before it), up to `every` frames later.

    Faces are looked for anew at a cut, every `every` frames, when those have come in that the picture's edge cut, and
    while one is missing that was there up to `every` frames ago. In between they are followed, and a new one is
    followed back to where it came in. Embeddings come with each new look, and are None on the other frames. A face of
    score 0 says that one was there a little before or after, and that now nothing in its place resembles a face."""
    recent, state = deque[_Picture](), _State(looked=every, lost=every)
    for _, rgb, is_cut in frames:
        if is_cut:
            yield from (picture.faces for picture in recent)
            recent, state = deque(), _State(looked=every, lost=every)
        new = _take_in(state, rgb, reader, every)
        for face in new:
            _follow_back(face, recent, reader)
        state.gone = [(face, age + 1) for face, age in state.gone if age < GAP and not _among(face, state.faces)]
        recent.append(_Picture(rgb, [*state.faces, *_bare((face for face, _ in state.gone), rgb, reader)]))
        if len(recent) > max(1, min(every, HELD // rgb.nbytes)):
            yield recent.popleft().faces
    yield from (picture.faces for picture in recent)


def _take_in(state: _State, rgb: Array, reader: FaceReader, every: int) -> list[Face]:
    """Take in one more picture of the shot; those of its faces that were not followed there."""
    followed = [(old, reader.follow(rgb, old.mesh)) for old in state.faces]
    kept = [face for _, face in followed if face]
    state.gone += [(old, 0) for old, face in followed if face is None]
    state.lost = 0 if len(kept) < len(followed) else state.lost + 1
    state.looked += 1
    came_in = state.at_edge and not _at_edge(kept, rgb)  # who it is, is seen only now
    if state.looked < every <= state.lost and not came_in:
        state.faces = distinct(kept)
        return []
    turns = LYING if state.looks % RARELY == 0 else sorted(state.turns)
    found = reader.detect(rgb, turns, kept)
    kept = [face for face in kept if not _is_part(face, found)]
    faces = distinct([*kept, *found])
    state.turns |= {turn for face in faces if (turn := geometry.quarters(face.mesh))}
    state.faces = [replace(face, embedding=reader.embed(rgb, face.mesh)) for face in faces]
    state.looked, state.looks, state.lost = 0, state.looks + 1, every if len(faces) > len(kept) else state.lost
    state.at_edge = _at_edge(faces, rgb)
    return [known for face, known in zip(faces, state.faces) if not any(face is old for old in kept)]


def _follow_back(face: Face, recent: Sequence[_Picture], reader: FaceReader) -> None:
    """Add a face to the pictures before, as far back as it is there and not known there yet; and before that, where its
    place is bare."""
    earlier = deque(reversed(recent))
    while earlier:
        before = reader.follow(earlier[0].rgb, face.mesh)
        if before is None:
            break
        there = [other for other in earlier[0].faces if not _is_ghost(other, before)]
        if _among(before, there):
            break
        face = before
        earlier.popleft().faces[:] = [*there, face]
    for picture in earlier:
        if _among(face, picture.faces):
            return
        picture.faces.extend(_bare([face], picture.rgb, reader))


def _bare(gone: Iterable[Face], rgb: Array, reader: FaceReader) -> list[Face]:
    """Those of the faces that are gone in whose places nothing resembles one, or which went over the picture's edge;
    with score 0."""
    bare = [face for face in gone if within(face.mesh, rgb) < LEAVING or reader.glance(rgb, face.mesh) < NOTHING]
    return [replace(face, score=0.0, embedding=None) for face in bare]


def _at_edge(faces: Iterable[Face], rgb: Array) -> bool:
    """Whether the picture's edge cuts any of the faces."""
    return any(within(face.mesh, rgb) < WHOLE for face in faces)


def _is_part(face: Face, found: Sequence[Face]) -> bool:
    """Whether a face that was followed is but a part of one of those found now, where it is found no more: it was led
    there by a dissolve."""
    led = any(inside(face.box, other.box) for other in found)
    return led and not any(overlap(face.box, other.box) >= SAME for other in found)


def _is_ghost(face: Face, whole: Face) -> bool:
    """The same of a face in a picture before, where the `whole` one is followed back."""
    return inside(face.box, whole.box) and area(face.box) < PART * area(whole.box)


def _among(face: Face, others: Iterable[Face]) -> bool:
    """Whether a face is one of those that are seen."""
    return any(other.score > 0 and meets(face.box, other.box) for other in others)
