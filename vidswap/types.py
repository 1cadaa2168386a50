"""What flows between the stages. Read this first, then pipeline.py.

Letters: N frames of a clip, T frames of a window or a track, S side of a crop, H W size of a frame.
Pictures are RGB uint8. Points are float32 pixels, x before y, pixel centres at integers; a mesh is 478 points
(MediaPipe Face Mesh topology) with z in the same unit, smaller is nearer. Frozen guards names, not array contents:
stages leave the bytes of what they are handed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidswap.facts import PixelFormat, Stream, Stretch

Array = NDArray[Any]
MESH_POINTS = 478
UPRIGHT = ((1, 0), (0, 1))  # rows of the matrix that leaves pictures as they are
PIECE = 32  # frames of a track that are read and kept together
PER_FRAME = ("mesh", "seen", "visible", "visible_to_frame")  # arrays of a track with a row for each frame


def _check(owner: object, name: str, dtype: type, shape: tuple[int | None, ...]) -> None:
    """Refuse an array of another dtype or shape; None in `shape` is any length."""
    value = getattr(owner, name)
    fits = isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == len(shape)
    if not fits or any(want is not None and want != got for want, got in zip(shape, value.shape, strict=True)):
        got = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{type(owner).__name__}.{name}: expected {np.dtype(dtype).name}({wanted}), got {got}")


class _Shapes:
    """A repr that prints shapes, never pixels."""

    def __repr__(self) -> str:
        def show(value: object) -> str:
            if isinstance(value, tuple):
                return f"({', '.join(map(show, value))})"
            return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else repr(value)

        names = [f.name for f in fields(self) if f.repr]  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={show(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, eq=False, repr=False)
class Clip(_Shapes):
    """A video file's facts, found by a scan of its packets; no pixels.

    `pts` are strictly increasing, in `time_base` seconds, one a shown frame. `colour` holds FFmpeg's numbers
    (colorspace, color_range, color_primaries, color_trc). `streams` are those of its file, none where that is of
    pictures; `tags` and `chapters`, as PyAV lists them, are the file's own. `container` is FFmpeg's format name
    ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "gif" ...). `width` and `height` are those of the stored pictures;
    `turn` has the rows of the matrix that makes them upright, of 1, 0 and -1, and `pixel` is the width of a pixel
    over its height; where the pictures change their size, it is the largest's, and the others are brought to it.
    `interlaced`: some may be of two fields. `last` is how long the last frame is shown, 0: not told. `files` are
    those of pictures, whose `container` is "still", "animation" or "sequence"; film has none. `notes` are what a
    person should know of how the file was read, a line each. `counted`: pictures have no times of their own, the
    n-th that is decoded has the n-th. `stretches` are the parts of a film whose clock starts again on the way
    (media.clocks), none where it does not; `pts` are on the one clock that they make. `format` is that of the first
    picture, and `beside` what lies beside that by FFmpeg's names ("DISPLAYMATRIX", its screen's light ...).
    """

    path: Path
    width: int
    height: int
    pts: Array  # (N,) int64
    time_base: Fraction
    rate: Fraction
    colour: tuple[int, int, int, int]
    rotation: int
    streams: tuple[Stream, ...] = field(repr=False)
    container: str
    turn: tuple[tuple[int, int], tuple[int, int]] = UPRIGHT
    pixel: Fraction = Fraction(1)
    last: int = 0
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    interlaced: bool = False
    counted: bool = False
    stretches: tuple[Stretch, ...] = ()
    format: PixelFormat = field(default_factory=PixelFormat)
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    chapters: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        _check(self, "pts", np.int64, (None,))
        if len(self.pts) == 0 or np.any(np.diff(self.pts) <= 0):
            raise ValueError("Clip.pts: expected at least one, strictly increasing")

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def film(self) -> Stream | None:
        """The stream that is played; None where the clip is of pictures."""
        return next((stream for stream in self.streams if stream.is_film), None)

    def seconds(self, index: int) -> float:
        """Time of a frame since the first one."""
        return float(int(self.pts[index] - self.pts[0]) * self.time_base)

    def duration(self, index: int) -> int:
        """How long a frame is shown, in `time_base`: up to the next; the last as its file says, else as the others."""
        if index + 1 < len(self):
            return int(self.pts[index + 1] - self.pts[index])
        usual = int(self.pts[-1] - self.pts[-2]) if len(self) > 1 else round(1 / self.rate / self.time_base)
        return max(1, self.last or usual)


@dataclass(frozen=True, eq=False, repr=False)
class Frame(_Shapes):
    """One decoded picture. `native` is the decoder's own frame (an `av.VideoFrame`, planes and side data kept, as it is
    stored); `to_rgb` converts it to what is seen, `to_stored` takes a pixel of that back to the stored picture;
    `repeated` says that it could not be decoded, or not wholly: it shows the one before again, or what the decoder
    made up; `to_part` converts a box of it (x0, y0, x1, y1) where it is seen as it is stored. Only `read` makes a
    Frame."""

    index: int
    native: Any
    to_rgb: Callable[[Any], Array]
    to_stored: Array = field(default_factory=lambda: np.eye(2, 3))  # (2, 3) float64
    repeated: bool = False
    to_part: Callable[[Any, tuple[int, int, int, int]], Array] | None = None

    @property
    def rgb(self) -> Array:
        """(H, W, 3) uint8, as it is seen: upright, with square pixels, in BT.709's colours where the clip is HDR.
        Faces, tracks and crops are found in these pixels. Converted anew at each call: keep it if you need it twice."""
        return self.to_rgb(self.native)

    def part(self, low: Array, high: Array) -> tuple[Array, Array, tuple[int, int]]:
        """The pixels of `rgb` from the corner `low` (2,) up to `high` (2,), as far as they lie in the picture but at
        least one; the corner (2,) int64 at which they begin; (H, W) of the whole. Most often cheaper than `rgb`."""
        if self.to_part is None:
            whole = self.rgb
            x0, y0, x1, y1 = _within(low, high, whole.shape)
            return whole[y0:y1, x0:x1], np.array([x0, y0]), (whole.shape[0], whole.shape[1])
        shape = (self.native.height, self.native.width)
        box = _within(low, high, shape)
        return self.to_part(self.native, box), np.array(box[:2]), shape


def _within(low: Array, high: Array, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box between two corners (x, y), as far as it lies in a picture of `shape`, at least one pixel of it."""
    first = np.clip(np.floor(low), 0, (shape[1] - 1, shape[0] - 1))
    last = np.clip(np.ceil(high), first + 1, (shape[1], shape[0]))
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


@dataclass(frozen=True)
class Shot:
    """Frames [start, stop) between two cuts."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"Shot: expected 0 <= start < stop, got [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False, repr=False)
class Face(_Shapes):
    """A face in one picture. `visible` tells, on a square grid over the mesh model's crop, where the face is seen
    (255) or covered by a hand, hair or an object (0); `visible_to_frame` maps grid cell centres to frame pixels."""

    box: Array  # (4,) float32: x0 y0 x1 y1
    mesh: Array  # (478, 3) float32
    score: float
    embedding: Array | None  # (E,) float32, unit; None where it was not asked for
    visible: Array  # (G, G) uint8
    visible_to_frame: Array  # (2, 3) float64

    def __post_init__(self) -> None:
        _check(self, "box", np.float32, (4,))
        _check(self, "mesh", np.float32, (MESH_POINTS, 3))
        _check(self, "visible", np.uint8, (None, None))
        _check(self, "visible_to_frame", np.float64, (2, 3))
        if self.embedding is not None:
            _check(self, "embedding", np.float32, (None,))


@dataclass(frozen=True, eq=False, repr=False)
class TrackPart(_Shapes):
    """The frames [start, start + T) of a track. `person` is the same number for the same person in every shot of a
    plan, ordered by time on screen (0 is seen most)."""

    id: int
    person: int
    start: int
    mesh: Array  # (T, 478, 3) float32, steadied
    seen: Array  # (T,) bool; False = filled in
    embedding: Array  # (E,) float32, unit
    visible: Array  # (T, G, G) uint8
    visible_to_frame: Array  # (T, 2, 3) float64

    def __post_init__(self) -> None:
        _check(self, "mesh", np.float32, (None, MESH_POINTS, 3))
        count = len(self.mesh)
        _check(self, "seen", np.bool_, (count,))
        _check(self, "embedding", np.float32, (None,))
        _check(self, "visible", np.uint8, (count, None, None))
        _check(self, "visible_to_frame", np.float64, (count, 2, 3))

    def __len__(self) -> int:
        return len(self.mesh)

    @property
    def stop(self) -> int:
        return self.start + len(self)

    def part(self, start: int, stop: int) -> TrackPart:
        """Its frames [start, stop)."""
        rows = slice(start - self.start, stop - self.start)
        return replace(self, start=start, **{name: getattr(self, name)[rows] for name in PER_FRAME})


def joined(pieces: Sequence[TrackPart]) -> TrackPart:
    """Pieces of one track that follow one another, as one."""
    if len(pieces) == 1:
        return pieces[0]
    whole: dict[str, Any] = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in PER_FRAME}
    return replace(pieces[0], **whole)


@dataclass(frozen=True, eq=False)
class Track:
    """One face through one shot, or a part of it: frames [start, stop), which are read when they are asked for, by
    `read(start, stop)`, and not held. `screen` is the sum of the face's sizes over them, pixels."""

    id: int
    person: int
    start: int
    stop: int
    embedding: Array  # (E,) float32, unit
    read: Callable[[int, int], TrackPart] = field(repr=False)
    screen: float = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> TrackPart:
        """Its frames [start, stop). Raises InputError where the file that they lie in is damaged."""
        return self.read(start, stop)

    def within(self, start: int, stop: int) -> Track:
        """The track of its frames [start, stop) alone."""
        return replace(self, start=start, stop=stop, screen=self.screen * (stop - start) / len(self))

    def seen(self) -> Iterator[int]:
        """The frames in which the face was seen, not filled in."""
        for start in range(self.start, self.stop, PIECE):
            piece = self.part(start, min(start + PIECE, self.stop))
            yield from (start + np.flatnonzero(piece.seen)).tolist()


@dataclass(frozen=True, eq=False)
class Window:
    """Frames [start, stop) that an engine is handed at once. `weight` (T,) float32 fades it into its neighbours; over
    all windows the weights of a frame sum to 1."""

    start: int
    stop: int
    weight: Array

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, eq=False, repr=False)
class Crops(_Shapes):
    """A window of a track, cut out as the engine needs it. `mask` says where the face may be replaced (1) and what
    must stay (0: outside, or covered). `weight` fades overlapping windows into one another and sums to 1 over them.
    `neutral` is the actor's resting shape over the whole track, in the pose-free frame of face.geometry."""

    track: int
    start: int
    rgb: Array  # (T, S, S, 3) uint8
    mesh: Array  # (T, 478, 3) float32, crop pixels
    mask: Array  # (T, S, S) float32
    to_frame: Array  # (T, 2, 3) float64: crop pixel -> frame pixel
    weight: Array  # (T,) float32
    neutral: Array  # (478, 3) float32

    def __post_init__(self) -> None:
        _check(self, "rgb", np.uint8, (None, None, None, 3))
        count, side = self.rgb.shape[:2]
        _check(self, "rgb", np.uint8, (count, side, side, 3))
        _check(self, "mesh", np.float32, (count, MESH_POINTS, 3))
        _check(self, "mask", np.float32, (count, side, side))
        _check(self, "to_frame", np.float64, (count, 2, 3))
        _check(self, "weight", np.float32, (count,))
        _check(self, "neutral", np.float32, (MESH_POINTS, 3))

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True)
class Consent:
    """Who agreed to what, until when. `until` None is until withdrawn; `uses` empty is any use."""

    subject: str
    uses: tuple[str, ...] = ()
    until: date | None = None
    record: str = "self"


@dataclass(frozen=True, eq=False, repr=False)
class Identity(_Shapes):
    """The person to put in: at least one photo with its mesh, best first, and their consent. `notes` are what a person
    should know of how the photos were taken, a line each."""

    photos: tuple[Array, ...]  # each (H, W, 3) uint8, cut around the face
    meshes: tuple[Array, ...]  # each (478, 3) float32, pixels of its photo
    embedding: Array  # (E,) float32, unit
    consent: Consent
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.photos or len(self.photos) != len(self.meshes):
            raise ValueError(f"Identity: expected a mesh for each photo, got {len(self.meshes)} for {len(self.photos)}")
        _check(self, "embedding", np.float32, (None,))


@dataclass(frozen=True)
class EngineChoice:
    """An engine by its name, and what of its own settings is not left as it is, in the order of their names."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Layer(_Shapes):
    """A face to lay over one frame. Layers of one track are of windows that overlap: their `weight`s sum to 1. The
    greater its `depth`, the farther away is the face: nearer ones lie over farther ones."""

    track: int
    rgb: Array  # (S, S, 3) uint8
    alpha: Array  # (S, S) float32
    to_frame: Array  # (2, 3) float64: crop pixel -> frame pixel
    weight: float = 1.0
    depth: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Swapped(_Shapes):
    """An engine's answer to `crops`: the same frames, size and order. `alpha` is how much of each pixel to lay over
    the frame. `latents` are what the engine wants to see again at the next window, or None."""

    crops: Crops
    rgb: Array  # (T, S, S, 3) uint8
    alpha: Array  # (T, S, S) float32
    latents: Array | None = None

    def __post_init__(self) -> None:
        count, side = self.crops.rgb.shape[:2]
        _check(self, "rgb", np.uint8, (count, side, side, 3))
        _check(self, "alpha", np.float32, (count, side, side))

    def tail(self, count: int, *, copied: bool = False) -> Swapped:
        """Its last `count` frames, if wanted `copied`, so that all else may go; `latents` are the engine's and stay."""
        first = len(self.crops) - min(count, len(self.crops))
        take: Callable[[Array], Any] = (lambda all_: all_[first:].copy()) if copied else (lambda all_: all_[first:])
        own = {name: take(getattr(self.crops, name)) for name in ("rgb", "mesh", "mask", "to_frame", "weight")}
        crops = replace(self.crops, start=self.crops.start + first, **own)
        return Swapped(crops, take(self.rgb), take(self.alpha), self.latents)
