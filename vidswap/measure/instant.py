"""One frame of a clip and its swap at a face: all that measures are made of, each part made when it is first asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vidswap.face import geometry
from vidswap.face.movement import movements
from vidswap.measure.pixels import SIDE, band_energies, face_area, skin_tone, steady_crop, window_of
from vidswap.read.faces import FaceReader
from vidswap.types import Array, Identity

INSET, AROUND = 0.1, 0.9  # eye distances from the face's rim: what is face, and what is not
LEAST_FACE = 50  # pixels of a face in which there is something to measure


@dataclass(frozen=True, eq=False)
class Wanted:
    """Who should be in the clip, with what reads and places faces: `mean` is the mean face (478, 3)."""

    identity: Identity
    reader: FaceReader
    mean: Array

    @cached_property
    def skin(self) -> Array | None:
        """(3,) of the photo's cheeks, L* a* b*."""
        return skin_tone(self.identity.photos[0], self.identity.meshes[0])

    @cached_property
    def moved(self) -> Mapping[str, float]:
        """How far the photo's face has moved (face.movement)."""
        return movements(self.identity.meshes[0], self.mean)


@dataclass(frozen=True, eq=False)
class Instant:
    """Both pictures (H, W, 3) uint8; `place` (478, 3) of the face in the plan, `places` of all that were swapped, it
    among them; `earlier` are `steady` of up to two frames just before."""

    before: Array
    after: Array
    place: Array
    places: tuple[Array, ...]
    who: Wanted
    earlier: tuple[Array, ...] = ()

    def look(self) -> tuple[Array, ...]:
        """Look for the face in both pictures, which takes longest; what is `earlier` at the next frame."""
        _ = self.mesh, self.found
        return (*self.earlier, self.steady)[-2:]

    @property
    def mean(self) -> Array:
        return self.who.mean

    @property
    def wanted(self) -> Array:
        """(E,) of the photos."""
        return self.who.identity.embedding

    @cached_property
    def mesh(self) -> Array:
        """(478, 3) in the original: looked at anew, from the same place as the swap, or they would err differently."""
        face = self.who.reader.follow(self.before, self.place)
        return face.mesh if face else self.place

    @cached_property
    def found(self) -> Array | None:
        """(478, 3) in the swap; None where it shows no face there."""
        face = self.who.reader.follow(self.after, self.place)
        return face.mesh if face else None

    @cached_property
    def actor(self) -> Array:
        """(E,) of the original's face."""
        return self.who.reader.embed(self.before, self.mesh)

    @cached_property
    def shown(self) -> Array | None:
        """(E,) of the swap's."""
        return None if self.found is None else self.who.reader.embed(self.after, self.found)

    @property
    def moved_wanted(self) -> Mapping[str, float]:
        return self.who.moved

    @cached_property
    def moved_before(self) -> Mapping[str, float]:
        """How far the original's face has moved (face.movement)."""
        return movements(self.mesh, self.mean)

    @cached_property
    def moved_after(self) -> Mapping[str, float] | None:
        return None if self.found is None else movements(self.found, self.mean)

    @property
    def skin_wanted(self) -> Array | None:
        return self.who.skin

    @cached_property
    def skin_before(self) -> Array | None:
        """(3,) of the cheeks, L* a* b*."""
        return skin_tone(self.before, self.mesh)

    @cached_property
    def skin_after(self) -> Array | None:
        return None if self.found is None else skin_tone(self.after, self.found)

    @cached_property
    def outside(self) -> Array:
        """(H, W) bool: away from all that were swapped."""
        around = [face_area(place, self.before.shape, -AROUND) for place in self.places]
        return np.asarray(~np.any(around, axis=0))

    @cached_property
    def _window(self) -> tuple[slice, slice]:
        return window_of(self.mesh, self.before.shape)

    @property
    def close_before(self) -> Array:
        """(h, w, 3) uint8: the picture around the face."""
        return self.before[self._window]

    @property
    def close_after(self) -> Array:
        return self.after[self._window]

    @cached_property
    def inner(self) -> Array | None:
        """(h, w) bool: the face in that; None where it is too small."""
        rows, columns = self._window
        own = self.mesh - np.array([columns.start, rows.start, 0], np.float32)
        area = face_area(own, self.close_before.shape, INSET)
        return area if area.sum() >= LEAST_FACE else None

    @cached_property
    def bands_before(self) -> Array | None:
        """(2,) dB: texture and grain of the face."""
        return None if self.inner is None else band_energies(self.close_before, self.inner)

    @cached_property
    def bands_after(self) -> Array | None:
        return None if self.inner is None else band_energies(self.close_after, self.inner)

    @cached_property
    def _to_crop(self) -> Array:
        return geometry.crop_transform(self.mesh, self.mean, SIDE)

    @cached_property
    def steady(self) -> Array:
        """(2, SIDE, SIDE) float32 grey: both pictures with the face held still; not by the plan's mesh: a swap drawn on
        that would not be seen to tremble with it."""
        return np.stack([steady_crop(rgb, self._to_crop) for rgb in (self.before, self.after)])

    @property
    def run(self) -> Array | None:
        """(3, 2, SIDE, SIDE): `steady` of three frames in a row; None where these are not there."""
        return np.stack([*self.earlier, self.steady]) if len(self.earlier) == 2 else None

    @property
    def run_area(self) -> Array:
        """(SIDE, SIDE) bool: the face in them."""
        return face_area(geometry.apply(self._to_crop, self.mesh), (SIDE, SIDE), INSET)
