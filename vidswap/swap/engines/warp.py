"""The engine `warp`: the selfie's texture on the selfie's shape, in the actor's pose, expression and light. No network.

It is what the diffusion starts from, and the yardstick it must beat. Mouth interior is the actor's; eyes are the
selfie's, looking where the actor looks. The surroundings are drawn along with the outline of the face, so that a
narrower face leaves no second cheek behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vidswap.face import geometry, halves, landmarks
from vidswap.face import relight as match
from vidswap.face.blendshapes import BlendShapes, blend_shapes
from vidswap.face.creases import softened
from vidswap.face.expression import Blend, Likeness, closable, likeness, perform
from vidswap.face.eyes import Eyeballs, eyeballs, look
from vidswap.face.raster import Drawing, Surface, draw, fields, filled, surface, texture, with_ring
from vidswap.face.steady import steadied
from vidswap.keys import key_of, packages
from vidswap.models.registry import digests
from vidswap.processor import cores
from vidswap.settings import Setting, one_of
from vidswap.swap import complexion
from vidswap.swap.complexion import Bare, Scenery
from vidswap.swap.engine import Advance, Needs
from vidswap.swap.latest import Latest
from vidswap.swap.light import GAMMA, LightModel, open_light
from vidswap.swap.parts import Before, PartsModel, drawn_through, open_parts
from vidswap.swap.skin import bared, restored
from vidswap.threads import mapped
from vidswap.types import Array, Crops, Identity, Swapped

LIGHT = match.LightSettings()
# A face in its own complexion, which all around it follows, needs no wide seam, and a wide one is the actor's.
OWN_LIGHT = match.LightSettings(feather=0.02, forehead=0.04)
NEEDS = Needs(size=512, framing="aligned", window=20, overlap=3, least=256)
OWN = replace(NEEDS, margin=128)  # of a neck that takes the person's complexion, more must be seen
SPEED = "quick"
CRISP = 0.35  # of a sharpness that the footage lacks, what eyes keep
RIM = 6 / 256  # share of a drawing's side over which the surroundings fade in at its edge
SMILING = 0.6  # strength of a smile that is a whole one
COMPLEXIONS = ("own", "actor")
COMPLEXION = "the person's own, which the actor's other skin follows, or the actor's"


@dataclass(frozen=True)
class Settings:
    complexion: Setting[str, str] = Setting(one_of(COMPLEXIONS), "own", COMPLEXION)


def models(settings: Settings) -> tuple[str, ...]:
    """The models that it opens, by their names in the registry."""
    always = ("face", "expressions", "parts")
    return (*always, "light") if settings.complexion == "own" else always


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame to be drawn: `photo` (see with_skin) with its mesh `selfie`, `crop` with its mesh `actor`, `mesh`
    (478, 3) where the photo's face goes in the crop, `zoom` crop pixels a frame pixel, `eyes` the photo's, `before`
    what lies before the actor's face, margin included; `scenery` where the person's own complexion is wanted: `photo`
    is without its light then, but for its `level` (3,); `unseen` (514,) is what of the photo's other half is shown."""

    photo: Array
    selfie: Array
    crop: Array
    actor: Array
    mesh: Array
    zoom: float
    eyes: Eyeballs | None = None
    before: Before | None = None
    scenery: Scenery | None = None
    level: Array | None = None
    unseen: Array | None = None


class Sitter(NamedTuple):
    """What a photo tells, whatever it is drawn into: `photo` (h, w, 3) uint8 without what hides its face, its eyes, its
    mesh `face` (478, 3) in its own frame, and the expression that it has `taken` on (K,); `bare` where the person keeps
    their own complexion: `photo` is without its light then; `unseen` (514,) of who looks aside in it, see halves."""

    photo: Array
    eyes: Eyeballs | None
    face: Array
    taken: Array
    bare: Bare | None
    unseen: Array | None


class Rest(NamedTuple):
    """Resting faces in their own frame, `own` (478, 3) the person's and `neutral` (478, 3) the actor's; and how much of
    a `smile` the photo loses by it on this actor, 0 to 1."""

    own: Array
    neutral: Array
    smile: float


class Drawn(NamedTuple):
    """The geometry of a scene, the photo on it (S, S, 3), which of that is skin (S, S), and the actor's picture on it
    (S, S, 3); uint8. `own` (S, S) float32 where the actor's other skin took the person's complexion, None where the
    person takes the actor's."""

    drawing: Drawing
    face: Array
    skin: Array
    around: Array
    own: Array | None = None


@dataclass(frozen=True, eq=False)
class Warped:
    """One frame: `picture` (S, S, 3) float32 the relit selfie over its surroundings, `around` (S, S, 3) uint8 those
    alone (the actor's picture on the new geometry), `alpha` (S, S) float32 of the selfie over them, `drawing` what was
    drawn where, `mesh` (478, 3) as drawn; `before` what lies before the actor's face, in the crop with its margin."""

    picture: Array
    around: Array
    alpha: Array
    drawing: Drawing
    mesh: Array
    before: Before | None = None
    scenery: Scenery | None = None


@dataclass(frozen=True)
class Warp:
    """Values that the engine's `swap` is a function of. With `model` a person keeps their own complexion, without it
    they take the actor's; `parts` tells what is before a face. So many `threads` draw, which changes nothing but the
    time."""

    form: Surface
    person: Likeness
    light: match.LightSettings = LIGHT
    needs: Needs = NEEDS
    model: LightModel | None = None
    parts: PartsModel | None = None
    exact: bool = True
    threads: int = 1
    shapes: BlendShapes = field(default_factory=blend_shapes)
    ready: Latest[Array, Sitter] = field(default_factory=Latest, compare=False)
    skinned: Latest[Array, Array] = field(default_factory=Latest, compare=False)

    @property
    def key(self) -> str:
        """The mean face that it draws on, how it sets light, and the libraries that draw."""
        more = {"light": self.model, "parts": self.parts}
        models = digests("face", "expressions", *(name for name, model in more.items() if model))
        return key_of((models, self.light, packages("numpy", "opencv-python", "opencv-python-headless")))

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        """The identity's best photo drawn in each crop; nothing is remembered between windows."""
        frames = self.frames(crops, identity)
        answer = self.laid(crops, frames, [np.clip(np.rint(f.picture), 0, 255).astype(np.uint8) for f in frames])
        progress(len(crops), len(crops))
        return answer

    def laid(self, crops: Crops, frames: Sequence[Warped], pictures: Sequence[Array]) -> Swapped:
        """The answer to a window: `pictures` (S, S, 3) uint8 of its frames, in the middle of what else of the actor's
        skin changed."""
        inner = complexion.framed(crops, self.needs.inner(crops.rgb.shape[1]))

        def one(row: int) -> tuple[Array, Array]:
            told = frames[row].scenery
            rgb, alpha = self.behind(inner.rgb[row], frames[row], pictures[row], self.cover(frames[row]))
            return (rgb, alpha) if told is None else complexion.surrounded(crops.rgb[row], told, rgb, alpha)

        rgb, alphas = zip(*mapped(one, range(len(frames)), self.threads), strict=True)
        return Swapped(crops, np.stack(rgb), np.stack(alphas))

    def behind(self, crop: Array, frame: Warped, picture: Array, alpha: Array) -> tuple[Array, Array]:
        """A frame's `picture` (S, S, 3) uint8, and how much of it to lay over the crop (S, S), behind what lies before
        the actor's face."""
        if (before := frame.before) is None:
            return picture, alpha
        kept = complexion.middle(before.kept, len(crop))
        if before.rims is not None:
            picture = drawn_through(picture, crop, complexion.middle(before.rims, len(crop)))
        if frame.scenery is None:
            return picture, alpha * (1 - kept)
        return complexion.handed(crop, frame.scenery, kept, picture, alpha)

    def frames(self, crops: Crops, identity: Identity) -> list[Warped]:
        """Every row of a window without its margin, warped, relit and toned; one tone for all."""
        wide, crops = crops, complexion.framed(crops, self.needs.inner(crops.rgb.shape[1]))
        before = self.before(wide, crops)
        meshes = steadied(crops.rgb, crops.mesh, crops.mask)
        bare = [bared(rgb, mesh, complexion.middle(each.kept, len(rgb)))
                for rgb, mesh, each in zip(crops.rgb, meshes, before, strict=True)]  # fmt: skip
        crops = replace(crops, mesh=meshes, rgb=np.stack(bare))
        selfie = identity.meshes[0]
        sitter = self.ready.of(identity.photos[0], lambda photo: self.sitter(photo, selfie))
        told: Sequence[Scenery | None] = [None] * len(crops)
        if sitter.bare is not None and self.model is not None:
            skins = complexion.mattes(wide, [each.kept for each in before], crops.rgb.shape[1], self.threads)
            told = complexion.scenery(crops, skins, sitter.bare.tone, self.model)
        rest = self.at_rest(crops, sitter)
        calm = softened(sitter.photo, selfie, self.form.mean, rest.smile)  # the very photo where there is no smile
        photo = self.skinned.of(calm, lambda photo: with_own_skin(photo, selfie))
        scenes = [
            Scene(photo, selfie, crops.rgb[row], crops.mesh[row], self.mesh(crops.mesh[row], rest),
                  zoom_of(crops, row), sitter.eyes, before[row], told[row],
                  None if sitter.bare is None else sitter.bare.level, sitter.unseen)
            for row in range(len(crops))
        ]  # fmt: skip
        few = range(0, len(scenes), max(1, len(scenes) // 4))
        some = dict(zip(few, mapped(self.draw, [scenes[row] for row in few], self.threads), strict=True))
        how = self.tone([(scenes[row], drawn) for row, drawn in some.items()])

        def one(row: int) -> Warped:
            return self.render(scenes[row], how, some.pop(row) if row in some else self.draw(scenes[row]))

        return mapped(one, range(len(scenes)), self.threads)

    def before(self, wide: Crops, crops: Crops) -> list[Before]:
        """What lies before the face in each row of a window with its margin, `wide`, and without it."""
        found = [Before(np.zeros(mask.shape, np.float32)) for mask in wide.mask]
        if self.parts is not None:
            found = self.parts.before(wide, self.threads)
        for each, mask, mesh in zip(found, crops.mask, crops.mesh, strict=True):
            inner = complexion.middle(each.kept, len(mask))
            np.maximum(inner, covered(mask, mesh), out=inner)
        return found

    def sitter(self, photo: Array, selfie: Array) -> Sitter:
        """Who is in a photo (h, w, 3) whose mesh is `selfie` (478, 3)."""
        whole, face = restored(photo, selfie, self.form, self.parts), self._normalised(selfie)
        bare = None if self.model is None else complexion.bare(whole, selfie, self.model)
        shown = whole if bare is None else bare.photo
        eyes, lasting = eyeballs(shown, selfie, self.form.mean), self.shapes.lasting(face)
        return Sitter(shown, eyes, face, lasting, bare, halves.unseen(selfie, self.form))

    def at_rest(self, crops: Crops, sitter: Sitter) -> Rest:
        """The photo's face and the actor's, without their expressions."""
        usual = np.median([self._normalised(mesh) for mesh in crops.mesh], axis=0)
        smile = self.shapes.strength("mouthSmile", sitter.taken - self.shapes.lasting(usual)) / SMILING
        own = self.shapes.without(sitter.face, sitter.taken)
        return Rest(own, self.shapes.at_rest(crops.neutral), min(max(smile, 0.0), 1.0))

    def mesh(self, actor: Array, rest: Rest) -> Array:
        """(478, 3): where the photo's face goes in a crop whose mesh is `actor` (478, 3)."""
        pose = geometry.face_pose(actor, self.form.mean)
        return geometry.posed(perform(self.person, rest.own, rest.neutral, geometry.normalised(actor, pose)), pose)

    def _normalised(self, mesh: Array) -> Array:
        return geometry.own_frame(mesh, self.form.mean)

    def draw(self, scene: Scene) -> Drawn:
        """A scene's geometry."""
        drawing = draw(self.form, with_ring(scene.mesh, scene.actor), len(scene.crop))
        face = self._face(scene, drawing)
        around = texture(self.form, drawing, scene.crop, with_ring(scene.actor, scene.actor))
        beyond = cv2.resize(cv2.dilate((drawing.part < 0).astype(np.uint8), np.ones((3, 3))), around.shape[:2])
        around = cv2.copyTo(scene.crop, beyond, around)
        # the actor's mouth in the photo's face too: its own teeth would show between lips that close
        own = cv2.blendLinear(around, cv2.cvtColor(face, cv2.COLOR_RGBA2RGB), drawing.mouth, 1 - drawing.mouth)
        if scene.eyes is not None:
            eyes = cv2.resize((drawing.part == 1).astype(np.uint8), own.shape[:2], interpolation=cv2.INTER_NEAREST)
            own = look(own, eyes, scene.eyes, scene.mesh, geometry.face_pose(scene.mesh, self.form.mean))
        drawn = Drawn(drawing, own, cv2.extractChannel(face, 3), around)
        return drawn if scene.scenery is None else self._in_own_colours(scene, drawn)

    def _face(self, scene: Scene, drawing: Drawing) -> Array:
        """(S, S, 4) the photo, and which of it is skin, as drawn."""
        selfie = closable(scene.selfie)
        face = texture(self.form, drawing, scene.photo, with_ring(selfie, scene.selfie))
        if scene.unseen is None:
            return face
        other = texture(self.form, drawing, scene.photo, halves.opposite(selfie, self.form))
        share = halves.laid(scene.unseen, self.form, drawing)
        return np.asarray(cv2.blendLinear(face, other, 1 - share, share))

    def _in_own_colours(self, scene: Scene, drawn: Drawn) -> Drawn:
        """What was drawn with the scene's light on the photo, and the actor's skin in the person's complexion."""
        told, points, drawing = scene.scenery, with_ring(scene.actor, scene.actor), drawn.drawing
        assert told is not None
        assert scene.level is not None
        size = drawing.size
        inner = complexion.middle(told.skin, complexion.MATTE)
        light, skin = fields(self.form, drawing, points, told.light - scene.level, inner)
        gain = cv2.resize(np.exp(light / GAMMA), (size, size), interpolation=cv2.INTER_LINEAR)
        lit = np.rint(complexion.rolled_off(drawn.face * gain, drawn.face)).astype(np.uint8)
        own = cv2.resize(skin, (size, size), interpolation=cv2.INTER_LINEAR)
        around = complexion.changed(drawn.around, told.change, own)
        lit = cv2.blendLinear(around, lit, drawing.mouth, 1 - drawing.mouth)
        return Drawn(drawing, lit, drawn.skin, around, own)

    def tone(self, scenes: Sequence[tuple[Scene, Drawn]]) -> match.Tone:
        """The mean tone that sets the photo into these scenes."""
        tones = []
        for scene, (drawing, face, _, around, own) in scenes:
            plain = self._lit(face, around, drawing, match.Tone(), own is not None)
            how = match.contrast_of(plain, around, drawing, self.light)
            how = how if own is None else match.halfway(how)
            lit = self._lit(face, around, drawing, how, own is not None)
            more = 1.0 if scene.scenery is None else complexion.grained(scene.scenery.change)
            seen = match.face_alpha(drawing, self.light)
            if scene.before is not None:
                kept = complexion.middle(scene.before.kept, len(seen))
                seen = seen * (1 - cv2.dilate(kept, np.ones((len(seen) // 50 | 1,) * 2, np.uint8)))
            fine = match.sharpness_of(lit, around, seen, scene.zoom, more)
            tones.append((how.contrast, how.colour, fine.blur, fine.sharpen))
        return match.Tone(*(float(v) for v in np.mean(tones, axis=0)))

    def render(self, scene: Scene, how: match.Tone, drawn: Drawn) -> Warped:
        """A scene relit and toned, as it was drawn."""
        drawing, face, skin, around, own = drawn
        lit = self._lit(face, around, drawing, how, own is not None)
        alpha = self._alpha(drawing, skin)
        crisp = match.eyes_share(drawing, drawing.size) * np.float32(1 if own is None else CRISP)
        toned = match.tone(lit, how, scene.zoom, crisp)
        picture = cv2.blendLinear(toned, around.astype(np.float32), alpha, 1 - alpha)
        return Warped(picture, around, alpha, drawing, scene.mesh, scene.before, scene.scenery)

    def _lit(self, face: Array, around: Array, drawing: Drawing, how: match.Tone, is_lit: bool) -> Array:
        """The face in the scene's light, float32: as told by `around`, or by the network, and joined to it then."""
        if is_lit:
            return match.joined(face, around, drawing, self.light, how)
        return match.relight(face, around, drawing, self.light, how)

    def _alpha(self, drawing: Drawing, skin: Array) -> Array:
        """Opacity of the face; towards its outline, what is not skin in the photo (hair, a hat) is left out."""
        alpha = match.face_alpha(drawing, self.light)
        inner = match.depth_share(drawing, 0.12)
        alike = cv2.GaussianBlur(skin, (0, 0), len(alpha) / 128).astype(np.float32) / 255
        return np.asarray(alpha * (inner + (1 - inner) * alike), np.float32)

    def cover(self, warped: Warped) -> Array:
        """(S, S) float32: how much of the crop to lay over the frame: all that was drawn, whatever lies before it."""
        drawn = (warped.drawing.part >= 0).astype(np.uint8)
        depth = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
        size = warped.picture.shape[:2]
        rim = cv2.resize(np.clip(depth / (RIM * len(depth)) - 0.3, 0, 1), size, interpolation=cv2.INTER_LINEAR)
        if warped.scenery is not None:
            rim = np.maximum(rim, complexion.shown(complexion.middle(warped.scenery.skin, complexion.MATTE), len(rim)))
        return np.asarray(rim, np.float32)


def zoom_of(crops: Crops, row: int) -> float:
    """Crop pixels a frame pixel."""
    return 1 / geometry.zoom_of(crops.to_frame[row])


def with_skin(photo: Array, alike: Array) -> Array:
    """A photo with a fourth channel: 255 where a pixel is skin, by `alike` (h, w) in 0 to 1."""
    return np.dstack([photo, np.rint(alike * 255).astype(np.uint8)])


def with_own_skin(photo: Array, selfie: Array) -> Array:
    """A photo, whose mesh is `selfie` (478, 3), with its skin: all of the face, and what looks like it around that."""
    return with_skin(photo, np.maximum(match.skin_alike(photo, selfie), filled(photo.shape, selfie[:468])))


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
    form, person = surface(mean, landmarks.triangles()), likeness(mean, Blend())
    if settings.complexion == "actor":
        yield Warp(form, person, parts=open_parts(), threads=cores())
    else:
        yield Warp(form, person, OWN_LIGHT, OWN, open_light(), open_parts(), threads=cores())
