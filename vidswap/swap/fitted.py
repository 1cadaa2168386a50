"""A whole-shot engine's answer -> layers of the clip's frames: matched in time, place and light.

An answer is matched by times, held against what is seen to move (swap.match). Of its picture only the face is laid,
brought from where it is then to where the face of the frame is.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import EngineError, InputError
from vidswap.face import geometry
from vidswap.face.landmarks import mean_face
from vidswap.face.sampling import sample
from vidswap.media.shotfile import ShotReader, pictures_of
from vidswap.swap.crops import AROUND, MASK, face_masks
from vidswap.swap.match import PATCH, Clock, clock_of, curves, laid, light_of, placement, ring_of, small
from vidswap.swap.takes import Take
from vidswap.swap.windows import resting_face
from vidswap.types import Array, Clip, Frame, Layer

HELD = 0.2  # seconds by which an answer may miss a frame that it is to show
EDGE = 4  # pixels of small pictures, by which a face is larger than its mesh, and blurred
DOUBT = 0.3  # correlation of what moves, below which an answer is told to be doubtful
AROUND_FACE = 1.6  # side of the patch around a face that light is told from, in sides of an aligned crop


def fitted(take: Take, shot: Path, answer: Path, clip: Clip, engine: str) -> FittedTake:
    """The `answer` of an `engine` to a take, whose file is `shot`, matched to it. Raises EngineError where it is no
    film, or does not show all of it."""
    kept = f"the file is kept: {answer}; remove it to have it fetched again, which costs nothing"
    try:
        times, ours, size = _seen(answer)
        _, theirs, sent = _seen(shot)
        way = placement((np.mean(ours, 0), size), (np.mean(theirs, 0), sent))
        to_seen = geometry.compose(geometry.invert(take.to_sent), way)
        seen = laid(ours, way, size, (theirs[0], sent))
        clock = clock_of(seen, times, np.stack(theirs), take.footage.rate, _beside(take, theirs[0].shape))
        clock = clock if clock.score >= DOUBT else Clock(score=clock.score)  # then it must be what it says
        places = (clock.scale * times + clock.shift) * float(take.footage.rate)
        shows = _shows(places, take)
        gaps = [float(np.abs(shows - clip.seconds(index)).min()) for index in (take.start, take.stop - 1)]
        if max(gaps) > HELD:
            raise EngineError(f"the answer of {engine} to {take.place} lacks {max(gaps):.2f} of "
                              f"{take.footage.seconds:.2f} seconds", kept)  # fmt: skip
        levels = _levels(take, shot, answer, places, to_seen)
    except InputError as error:
        message = f"the answer of {engine} to {take.place} cannot be read ({error.message})"
        raise EngineError(message, kept) from error
    return FittedTake(take, clip, ShotReader(answer), shows, to_seen, levels, clock)


def _seen(path: Path) -> tuple[Array, list[Array], tuple[int, int]]:
    """The times (J,) of a film's pictures, small ones of them, and their (width, height). Raises InputError."""
    times, pictures, size = [], [], (0, 0)
    for time, rgb in pictures_of(path):
        times.append(time)
        pictures.append(small(rgb))
        size = rgb.shape[1], rgb.shape[0]
    if not times:
        raise InputError(f"{path} has no picture that can be read", "it is damaged, or cut off")
    return np.array(times), pictures, size


def _beside(take: Take, shape: tuple[int, ...]) -> Array:
    """(h, w) bool: where the face never comes in small pictures of a take's file."""
    covered = np.zeros(shape, np.uint8)
    zoom = np.array(shape[::-1]) / (take.footage.width, take.footage.height)
    to_small = geometry.compose(np.hstack([np.diag(zoom), (zoom[:, None] - 1) / 2]), take.to_sent)
    for mesh in take.track.part(take.start, take.stop).mesh:
        points = geometry.apply(to_small, mesh[:468, :2])
        cv2.fillConvexPoly(covered, np.rint(cv2.convexHull(points)).astype(np.int32), 1)
    return np.asarray(cv2.dilate(covered, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) == 0)


def _shows(places: Array, take: Take) -> Array:
    """(J,): the time in the clip that each picture of an answer shows, which lies at `places` among those sent."""
    known = np.arange(len(take.seconds))
    beyond = np.minimum(places, 0) + np.maximum(places - known[-1], 0)
    return np.asarray(np.interp(places, known, take.seconds) + beyond / float(take.footage.rate))


def _levels(take: Take, shot: Path, answer: Path, places: Array, to_seen: Array) -> Array:
    """(J, 256, 3): what becomes of an answer's levels, so that around the face its light is the clip's."""
    mean, shrunk, light = mean_face(), geometry.enlarge(1 / AROUND_FACE), []
    shrunk[:, 2] += (1 - 1 / AROUND_FACE) * PATCH / 2
    to_sent, numbers = geometry.invert(take.to_sent), np.rint(places).clip(0, len(take.sent) - 1).astype(int).tolist()
    with closing(ShotReader(shot)) as sent:
        for number, (_, rgb) in zip(numbers, pictures_of(answer)):
            index = int(take.sent[number].clip(take.start, take.stop - 1))
            mesh, theirs = take.track.part(index, index + 1).mesh[0], sent.at(number)
            crop = geometry.compose(shrunk, geometry.crop_transform(mesh, mean, PATCH))
            shown = (rgb, geometry.compose(crop, to_seen)), (theirs, geometry.compose(crop, to_sent))
            outlines = [geometry.apply(way, _corners(0, 0, *picture.shape[1::-1])) for picture, way in shown]
            ring = ring_of(geometry.apply(crop, mesh[:468, :2]), *outlines)
            light.append([light_of(sample(picture, way, PATCH), ring) for picture, way in shown])
    answered, wanted = (np.stack(each) for each in zip(*light))
    return curves(answered, wanted, float(take.footage.rate))


@dataclass(frozen=True, eq=False)
class FittedTake:
    """An answer, and how it lies in the clip: `shows` (J,) is the second of the clip that each of its pictures shows,
    `to_seen` (2, 3) takes its pixels to those of the seen picture, `levels` (J, 256, 3) its light to the clip's."""

    take: Take
    clip: Clip
    answer: ShotReader
    shows: Array
    to_seen: Array
    levels: Array
    clock: Clock

    @cached_property
    def neutral(self) -> Array:
        """The resting face of the track, by which masks are framed."""
        return resting_face(self.take.track)

    def layer(self, index: int) -> Layer | None:
        """The answer's face over a frame of the take; None where nothing of it may be replaced. Raises EngineError."""
        mask, mask_to_frame = self._mask(index)
        if not mask.any():
            return None
        number = int(np.abs(self.shows - self.clip.seconds(index)).argmin())
        picture = self.answer.at(number)
        to_frame = geometry.compose(self._moved(index, float(self.shows[number])), self.to_seen)
        to_mask = geometry.compose(geometry.invert(mask_to_frame), to_frame)
        corners = geometry.apply(geometry.invert(to_mask), _corners(*cv2.boundingRect(mask)))
        low = np.floor(corners.min(0) - 2).astype(int).clip(0)
        high = np.ceil(corners.max(0) + 3).astype(int).clip(None, picture.shape[1::-1])
        if (low >= high).any():
            return None
        shift = np.hstack([np.eye(2), low[:, None]])
        size = tuple((high - low).tolist())
        alpha = cv2.warpAffine(mask, geometry.invert(geometry.compose(to_mask, shift)), size, flags=cv2.INTER_LINEAR)
        rgb = cv2.LUT(picture[low[1] : high[1], low[0] : high[0]], self.levels[number][None])
        weight = float(self.take.weight[index - self.take.start])
        return Layer(self.take.track.id, np.asarray(rgb), alpha.astype(np.float32) / 255,
                     geometry.compose(to_frame, shift), weight, self._depth(index))  # fmt: skip

    def _mask(self, index: int) -> tuple[Array, Array]:
        """Where the face of a frame may be replaced (MASK, MASK) uint8; and (2, 3), its pixels -> the frame's."""
        track = self.take.track
        part = track.part(max(index - AROUND, track.start), min(index + AROUND + 1, track.stop))
        aligned = {part.start + row: geometry.crop_transform(mesh, self.neutral, MASK)
                   for row, mesh in enumerate(part.mesh)}  # fmt: skip
        return next(face_masks(part, index, index + 1, aligned))

    def _moved(self, index: int, second: float) -> Array:
        """(2, 3): how the face moves from where it is at a second of the clip to where it is in a frame."""
        track, seconds = self.take.track, self.clip.seconds
        later = index + (second > seconds(index)) - (second < seconds(index))
        later = later if track.start <= later < track.stop else 2 * index - later  # it goes on as it went
        if later == index or not track.start <= later < track.stop:
            return np.eye(2, 3)
        part = track.part(min(index, later), max(index, later) + 1).mesh[..., :2]
        here, there = (part[0], part[1]) if later > index else (part[1], part[0])
        share = (second - seconds(index)) / (seconds(later) - seconds(index))
        return geometry.fit_similarity(here + share * (there - here), here)

    def _depth(self, index: int) -> float:
        """How far away the face is: of two the larger is taken to be nearer."""
        return -float(np.ptp(self.take.track.part(index, index + 1).mesh[0, :, :2], 0).mean())


def _corners(x: int, y: int, width: int, height: int) -> Array:
    """(4, 2): the outer corners of a box of pixels, one after another."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64) - 0.5


@dataclass(frozen=True, eq=False)
class FittedShots:
    """The answers of whole-shot engines, read as the clip goes on; `notes` say what is doubtful, a line each."""

    takes: tuple[FittedTake, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"what {each.take.place} became hardly moves as they do ({each.clock.score:.2f}): look at it"
                     for each in self.takes if each.clock.score < DOUBT)  # fmt: skip

    def layers(self, frame: Frame) -> list[Layer]:
        """What is to be laid over a frame. Raises EngineError, InputError."""
        over = []
        for each in self.takes:
            if each.take.start <= frame.index < each.take.stop:
                over.append(each.layer(frame.index))
            else:
                each.answer.close()
        return [layer for layer in over if layer is not None]

    def close(self) -> None:
        """Let go of the answers' files."""
        for each in self.takes:
            each.answer.close()
