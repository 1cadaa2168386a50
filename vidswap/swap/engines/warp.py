"""The engine `warp`: the selfie's texture on the selfie's shape, in the actor's pose, expression and light. No network.

It is what the diffusion starts from, and the yardstick it must beat. Mouth interior is the actor's; eyes are the
selfie's, looking where the actor looks. The surroundings are drawn along with the outline of the face, so that a
narrower face leaves no second cheek behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vidswap.face import geometry, landmarks
from vidswap.face import relight as match
from vidswap.face.expression import Blend, Likeness, likeness, perform
from vidswap.face.raster import Drawing, Surface, draw, surface, texture, with_ring
from vidswap.keys import key_of, packages
from vidswap.models.registry import digests
from vidswap.swap.engine import Advance, Needs
from vidswap.types import Array, Crops, Identity, Swapped

LIGHT = match.LightSettings()
NEEDS = Needs(size=512, framing="aligned", window=16, overlap=4)


@dataclass(frozen=True)
class Settings:
    """There is nothing to choose."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame to be drawn: `photo` (see with_skin) with its mesh `selfie`, `crop` with its mesh `actor`, `mesh`
    (478, 3) where the photo's face goes in the crop, `zoom` crop pixels a frame pixel."""

    photo: Array
    selfie: Array
    crop: Array
    actor: Array
    mesh: Array
    zoom: float


class Drawn(NamedTuple):
    """The geometry of a scene, the photo on it (S, S, 3), which of that is skin (S, S), and the actor's picture on it
    (S, S, 3); uint8."""

    drawing: Drawing
    face: Array
    skin: Array
    around: Array


@dataclass(frozen=True, eq=False)
class Warped:
    """One frame: `picture` (S, S, 3) float32 the relit selfie over its surroundings, `around` (S, S, 3) uint8 those
    alone (the actor's picture on the new geometry), `alpha` (S, S) float32 of the selfie over them, `drawing` what was
    drawn where, `mesh` (478, 3) as drawn."""

    picture: Array
    around: Array
    alpha: Array
    drawing: Drawing
    mesh: Array


@dataclass(frozen=True)
class Warp:
    """Values that the engine's `swap` is a function of."""

    form: Surface
    person: Likeness
    light: match.LightSettings = LIGHT
    needs: Needs = NEEDS
    exact: bool = True

    @property
    def key(self) -> str:
        """The mean face that it draws on, how it sets light, and the libraries that draw."""
        return key_of((digests("face"), self.light, packages("numpy", "opencv-python", "opencv-python-headless")))

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The identity's best photo drawn in each crop; nothing is remembered between windows."""
        frames = self.frames(crops, identity)
        rgb = np.stack([np.clip(np.rint(f.picture), 0, 255).astype(np.uint8) for f in frames])
        alpha = np.stack([self.cover(crops, row, f) for row, f in enumerate(frames)])
        progress(len(crops), len(crops))
        return Swapped(crops, rgb, alpha)

    def frames(self, crops: Crops, identity: Identity) -> list[Warped]:
        """Every row of a window, warped, relit and toned; one tone for all."""
        selfie = identity.meshes[0]
        photo = with_skin(identity.photos[0], match.skin_alike(identity.photos[0], selfie))
        own = geometry.normalised(selfie, geometry.face_pose(selfie, self.form.mean))
        scenes = [
            Scene(photo, selfie, crops.rgb[row], crops.mesh[row], self.mesh(crops, row, own), zoom_of(crops, row))
            for row in range(len(crops))
        ]
        some = {row: self.draw(scenes[row]) for row in range(0, len(scenes), max(1, len(scenes) // 4))}
        how = self.tone([(scenes[row], drawn) for row, drawn in some.items()])
        return [
            self.render(scene, how, some.pop(row) if row in some else self.draw(scene))
            for row, scene in enumerate(scenes)
        ]

    def mesh(self, crops: Crops, row: int, own: Array) -> Array:
        """(478, 3): where in row `row` of a window the selfie's face goes, whose shape in its own frame is `own`."""
        actor = crops.mesh[row]
        pose = geometry.face_pose(actor, self.form.mean)
        return geometry.posed(perform(self.person, own, crops.neutral, geometry.normalised(actor, pose)), pose)

    def draw(self, scene: Scene) -> Drawn:
        """A scene's geometry."""
        drawing = draw(self.form, with_ring(scene.mesh, scene.actor), len(scene.crop))
        face = texture(self.form, drawing, scene.photo, with_ring(scene.selfie, scene.selfie))
        around = texture(self.form, drawing, scene.crop, with_ring(scene.actor, scene.actor))
        beyond = cv2.resize(cv2.dilate((drawing.part < 0).astype(np.uint8), np.ones((3, 3))), around.shape[:2])
        around = cv2.copyTo(scene.crop, beyond, around)
        # the actor's mouth in the photo's face too: its own teeth would show between lips that close
        mouth = cv2.resize((drawing.part == 2).astype(np.uint8), around.shape[:2], interpolation=cv2.INTER_NEAREST)
        own = cv2.copyTo(around, mouth, cv2.cvtColor(face, cv2.COLOR_RGBA2RGB))
        return Drawn(drawing, own, cv2.extractChannel(face, 3), around)

    def tone(self, scenes: Sequence[tuple[Scene, Drawn]]) -> match.Tone:
        """The mean tone that sets the photo into these scenes."""
        tones = []
        for scene, (drawing, face, _, around) in scenes:
            how = match.contrast_of(match.relight(face, around, drawing, self.light), around, drawing, self.light)
            lit = match.relight(face, around, drawing, self.light, how)
            fine = match.sharpness_of(lit, around, match.face_alpha(drawing, self.light), scene.zoom)
            tones.append((how.contrast, how.colour, fine.blur, fine.sharpen))
        return match.Tone(*(float(v) for v in np.mean(tones, axis=0)))

    def render(self, scene: Scene, how: match.Tone, drawn: Drawn) -> Warped:
        """A scene relit and toned, as it was drawn."""
        drawing, face, skin, around = drawn
        lit = match.relight(face, around, drawing, self.light, how)
        alpha = self._alpha(drawing, skin)
        toned = match.tone(lit, how, scene.zoom, match.eyes_share(drawing, drawing.size))
        picture = cv2.blendLinear(toned, around.astype(np.float32), alpha, 1 - alpha)
        return Warped(picture, around, alpha, drawing, scene.mesh)

    def _alpha(self, drawing: Drawing, skin: Array) -> Array:
        """Opacity of the face; towards its outline, what is not skin in the photo (hair, a hat) is left out."""
        alpha = match.face_alpha(drawing, self.light)
        inner = match.depth_share(drawing, 0.12)
        alike = cv2.GaussianBlur(skin, (0, 0), len(alpha) / 128).astype(np.float32) / 255
        return np.asarray(alpha * (inner + (1 - inner) * alike), np.float32)

    def cover(self, crops: Crops, row: int, warped: Warped) -> Array:
        """(S, S) float32: how much of the crop to lay over the frame: all that was drawn, but not over what covers
        the actor's face."""
        drawn = (warped.drawing.part >= 0).astype(np.uint8)
        depth = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
        size = (crops.rgb.shape[1],) * 2
        rim = cv2.resize(np.clip(depth / 6 - 0.3, 0, 1), size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(rim * (1 - covered(crops.mask[row], crops.mesh[row])), np.float32)


def zoom_of(crops: Crops, row: int) -> float:
    """Crop pixels a frame pixel."""
    return 1 / geometry.zoom_of(crops.to_frame[row])


def with_skin(photo: Array, alike: Array) -> Array:
    """A photo with a fourth channel: 255 where a pixel is skin, by `alike` (h, w) in 0 to 1."""
    return np.dstack([photo, np.rint(alike * 255).astype(np.uint8)])


def covered(mask: Array, mesh: Array) -> Array:
    """(S, S) float32: 1 where the mask leaves a hole inside the outline of the face, soft at the edges."""
    outline = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(outline, [np.round(mesh[landmarks.OVAL, :2]).astype(np.int32)], 1)
    inner = cv2.erode(outline, np.ones((len(mask) // 32 | 1,) * 2, np.uint8))
    hole = inner * (1 - mask)
    if hole.max() < 0.05:
        return np.zeros_like(mask)
    grown = cv2.dilate(hole.astype(np.float32), np.ones((len(mask) // 16 | 1,) * 2, np.uint8))
    return np.asarray(cv2.GaussianBlur(np.maximum(hole, grown * (1 - mask)), (0, 0), len(mask) / 128), np.float32)


@contextmanager
def load(settings: Settings, cache: Path | None = None) -> Iterator[Warp]:
    """The engine. Raises ModelError."""
    mean = landmarks.mean_face()
    yield Warp(surface(mean, landmarks.triangles()), likeness(mean, Blend()))
