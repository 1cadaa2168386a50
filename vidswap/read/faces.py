"""Frame -> Faces: a pack's detector and recogniser, loaded and run by insightface, and our mesh beside them.

The only module that knows insightface and onnxruntime. insightface sees pictures as BGR; ours are RGB. Its own way in,
FaceAnalysis, sets how much onnxruntime says in all of the process, and on a Mac compiles models into the user's home:
its models are opened one by one instead, for the processor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from insightface.model_zoo import get_model, has_model_package_manifest, load_model_package

from vidswap.errors import ModelError
from vidswap.face import geometry, landmarks
from vidswap.face.boxes import SAME, area, distinct, inside, meets, overlap, within
from vidswap.face.template import upright
from vidswap.models import registry as weights
from vidswap.models.packs import find_pack, licence_of
from vidswap.models.sessions import PROVIDERS, open_session, session_options, translated
from vidswap.read.features import Net, Refiner, refiner, shown
from vidswap.settings import path_of
from vidswap.types import Array, Face

CLOSE_SIDE, DETECT_SIDE = 256, 640  # the longer side of what the detector sees: for close faces, for all others
CLOSE = 0.3  # a close face's side, of the picture's longer one; at 256 pixels smaller ones are less sure than at 640
SURE, SURE_EMBEDDED = 0.5, 0.6  # a detection's least score: insightface's own choice, and ours for our pack
IS_FACE = 0.5  # the mesh model's least score: its word decides
ENOUGH = 0.3  # part of a mesh that must lie in the picture: of less of a face nothing is known
LYING = (1, 2, 3)  # quarters by which a picture is turned against the clock, to find faces that lie or hang in it
# Of upright faces none has its mesh farther from the detector's five points than AGREE, in distances of the outer eye
# corners. An upside-down one that the detector takes for upright is beyond CLEAR, or less than UNSURE above its least
# score, and no false find in a turned picture is LONELY above that. The right way round is the surer one, by SURER.
AGREE, CLEAR, UNSURE, LONELY, SURER = 0.35, 0.15, 0.25, 0.15, 0.05
PACKS = "it needs a detector in SCRFD's format, whole files"


@dataclass(frozen=True, eq=False)
class MeshModel:
    """`session` takes (1, 3, S, S) in [0, 1], the aligned crop, and gives points (1, 478, 3) in crop pixels, score
    (1, 1) and visible (1, G, G); `mean` is the mean face (478, 3); `refiner` looks at eyes and mouth more closely."""

    session: onnxruntime.InferenceSession
    mean: Array
    refiner: Refiner | None = None

    @property
    def size(self) -> int:
        return int(self.session.get_inputs()[0].shape[-1])

    def landmarks(self, rgb: Array, guess: Array) -> Face:
        """The face where the mesh `guess` (478, 3) says it is, scored by how much it is one."""
        to_crop = geometry.crop_transform(guess, self.mean, self.size)
        crop = shown(rgb, to_crop, self.size)
        name = self.session.get_inputs()[0].name
        points, score, visible = self.session.run(["points", "score", "visible"], {name: crop})
        to_frame = geometry.invert(to_crop)
        mesh = geometry.apply(to_frame, points[0])
        seen = np.rint(visible[0] * 255).astype(np.uint8)
        from_map = geometry.compose(to_frame, geometry.enlarge(self.size / len(seen)))
        return Face(geometry.bounds(mesh), mesh, float(score[0, 0]), None, seen, from_map)

    def refined(self, rgb: Array, face: Face) -> Face | None:
        """A face that was looked at, its eyes and mouth seen at the picture's own resolution; None where it is none."""
        if face.score < IS_FACE:
            return None
        if self.refiner is None:
            return face
        mesh = self.refiner.refine(rgb, face)
        return replace(face, mesh=mesh, box=geometry.bounds(mesh))


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack's two models, each as insightface has it."""

    detector: Any
    recognizer: Any

    @property
    def sure(self) -> float:
        """A detection's least score."""
        return float(self.detector.det_thresh)

    def detect(self, bgr: Array, width: int, height: int) -> tuple[Array, Array | None]:
        """Boxes (F, 5) with scores, and five points (F, 5, 2) where the detector tells them; seen at a size."""
        boxes, points = self.detector.detect(bgr, input_size=(width, height))
        return boxes, points

    def embed(self, bgr: Array, five: Array) -> Array:
        """(E,) float32 of the face with these five points (5, 2)."""
        return np.asarray(self.recognizer.get_feat(upright(bgr, five, self.recognizer.input_size[0])).flatten())


@dataclass(frozen=True, eq=False)
class Find:
    """A face as the detector came upon it: in the picture turned by `turn` quarters, with the score `sure`, the mean
    distance `off` between its five points and those of the mesh, in distances of the outer eye corners."""

    face: Face
    turn: int
    sure: float
    off: float

    def yields_to(self, other: Find) -> bool:
        """Whether the other is of the same face, the right way round."""
        rank, others = (each.sure + (SURER if each.turn == 0 else 0) for each in (self, other))
        return self.turn != other.turn and others > rank and meets(self.face.box, other.face.box)


class FaceReader:
    """Finds, follows and recognises faces in pictures (H, W, 3) uint8. `licence` is one line about the face models."""

    def __init__(self, pack: Pack, mesh: MeshModel, licence: str) -> None:
        self.licence = licence
        self._pack, self._mesh = pack, mesh

    def detect(self, rgb: Array, turns: Collection[int] | None = None, known: Sequence[Face] = ()) -> list[Face]:
        """All faces, without embeddings: the upright ones, and those in the picture turned by each of `turns` (of
        LYING; None: by all where nobody is upright). By all too where it is in doubt that an upright one, not among the
        `known`, is the right way round."""
        finds = self._finds(rgb, 0)
        doubted = [find for find in finds if not any(overlap(find.face.box, old.box) >= SAME for old in known)]
        if any(find.off > CLEAR or find.sure < self._pack.sure + UNSURE for find in doubted):
            turns = LYING
        for turn in turns if turns is not None else () if finds else LYING:
            finds += self._finds(rgb, turn)
        return distinct(find.face for find in finds if self._holds(find, finds))

    def _holds(self, find: Find, finds: Sequence[Find]) -> bool:
        """Whether to believe a find, beside all others of the picture: that its mesh is right, and its way round."""
        if find.off > AGREE or any(find.yields_to(other) for other in finds if other.off <= AGREE):
            return False
        alone = find.turn and not any(meets(find.face.box, other.face.box) for other in finds if other.turn == 0)
        return not alone or find.sure >= self._pack.sure + LONELY

    def _finds(self, rgb: Array, turn: int) -> list[Find]:
        """All faces that the detector sees in the picture turned by `turn` quarters, each once. Those that fill the
        picture are looked for first, in it made small: they are too large for the detector at full size, which takes
        their parts for faces."""
        turned = np.rot90(rgb, turn)
        picture, found = np.ascontiguousarray(turned[..., ::-1]), list[Find]()
        height, width = turned.shape[:2]
        back = turned_back(turn, height, width)
        for side, least in ((CLOSE_SIDE, CLOSE * max(height, width)), (DETECT_SIDE, 0.0)):
            boxes, points = self._pack.detect(picture, *detector_size(height, width, side))
            five = [None] * len(boxes) if points is None else points
            large = [(box, known) for box, known in zip(boxes, five) if area(box) >= least**2]
            old = [find.face.box for find in found]
            new = [one for one in large if not any(inside(boxed(back, one[0]), box) for box in old)]
            found += [find for find in (self._find(rgb, turn, back, *one) for one in new) if find]
        kept = distinct(find.face for find in found)
        return [find for find in found if any(find.face is face for face in kept)]

    def _find(self, rgb: Array, turn: int, back: Array, box: Array, five: Array | None) -> Find | None:
        """The face of a detection in the turned picture, which `back` (2, 3) takes to `rgb`."""
        mean = self._mesh.mean
        face = self._look_twice(rgb, geometry.apply(back, placed(mean, box[:4], five)))
        if face is None or within(face.mesh, rgb) < ENOUGH:
            return None
        size = geometry.face_pose(face.mesh, mean).scale
        away = 0.0 if five is None else geometry.five_points(face.mesh) - geometry.apply(back, five)
        return Find(face, turn, float(box[4]), float(np.linalg.norm(away, axis=-1).mean()) / size)

    def glance(self, rgb: Array, mesh: Array) -> float:
        """How much what is at `mesh` (478, 3) resembles a face, 0 to 1."""
        return self._mesh.landmarks(rgb, mesh).score

    def follow(self, rgb: Array, mesh: Array) -> Face | None:
        """The face that was at `mesh` (478, 3) in the frame before; None when it is not there any more, or but an edge
        of it."""
        near = self._mesh.landmarks(rgb, mesh)
        moved = overlap(near.box, geometry.bounds(mesh)) < 0.8
        face = self._look_twice(rgb, near.mesh) if moved else self._mesh.refined(rgb, near)
        return face if face and within(face.mesh, rgb) >= ENOUGH else None

    def embed(self, rgb: Array, mesh: Array) -> Array:
        """Who it is: (E,) float32, unit; by five points of the mesh."""
        vector = self._pack.embed(np.ascontiguousarray(rgb[..., ::-1]), geometry.five_points(mesh))
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)

    def _look_twice(self, rgb: Array, guess: Array) -> Face | None:
        """The face near `guess`, looked at twice: the first look only says how to frame the second."""
        first = self._mesh.landmarks(rgb, guess)
        if first.score < IS_FACE / 2:
            return None
        return self._mesh.refined(rgb, self._mesh.landmarks(rgb, first.mesh))


def open_faces(pack: str, threads: int = 1) -> FaceReader:
    """The reader of a pack: "embedded" (ships with vidswap), the name of an insightface pack that is in insightface's
    home, or a folder with .onnx files. `threads` of each model. Nothing is downloaded. Raises ModelError."""
    options = session_options(threads)
    pack = str(path_of("pack", pack))
    opened = open_pack(find_pack(pack), options, SURE_EMBEDDED if pack == "embedded" else SURE)
    return FaceReader(opened, open_mesh(options), licence_of(pack))


def open_pack(folder: Path, options: onnxruntime.SessionOptions, sure: float = SURE) -> Pack:
    """The detector and the recogniser in a folder, as insightface loads them; `sure` is a detection's least score.
    Raises ModelError."""
    with translated(f"the face models in {folder} cannot be used", PACKS):
        models: dict[str, Any] = {}
        for model in packed(folder, options):
            models.setdefault(model.taskname, model)
        if "detection" not in models:
            raise ValueError("no model among them is a detector")
        models["detection"].prepare(0, input_size=(DETECT_SIDE, DETECT_SIDE), det_thresh=sure)
    if "recognition" not in models:
        raise ModelError(f"the face models in {folder} lack a recogniser", "add the pack's 112 x 112 model")
    return Pack(models["detection"], models["recognition"])


def packed(folder: Path, options: onnxruntime.SessionOptions) -> Iterator[Any]:
    """insightface's models of a folder: those its manifest lists, without one those that it knows by their shape."""
    how = {"providers": list(PROVIDERS), "sess_options": options}
    if has_model_package_manifest(str(folder)):
        package = load_model_package(str(folder))
        for task in ("detection", "recognition"):
            if task in package.tasks:
                yield get_model(str(folder), model_task=task, model_descriptor=package.task(task), **how)
    else:
        found = (get_model(str(file), **how) for file in sorted(folder.glob("*.onnx")))
        yield from (model for model in found if model is not None)


def open_mesh(options: onnxruntime.SessionOptions) -> MeshModel:
    """The mesh model that ships, with the nets for eyes and mouth. Raises ModelError."""
    with translated("the mesh model cannot be used", PACKS):
        mean = landmarks.mean_face()
        eye, mouth = (net(weights.path_to("features") / f"{name}.onnx", options) for name in ("eye", "mouth"))
        session = open_session(weights.path_to("mesh"), options)
        return MeshModel(session, mean, refiner(eye, mouth, mean))


def net(path: Path, options: onnxruntime.SessionOptions) -> Net:
    """A model of one input and one output as a plain function."""
    session = open_session(path, options)
    name = session.get_inputs()[0].name
    return lambda picture: np.asarray(session.run(None, {name: picture})[0])


def detector_size(height: int, width: int, side: int = DETECT_SIDE) -> tuple[int, int]:
    """(width, height) of the detector's input for a picture: its shape, `side` long at most, in steps of 32. A picture
    that is smaller still gets half of DETECT_SIDE, or `side` if that is less."""
    longest = min(max(height, width, DETECT_SIDE // 2), side)
    zoom = longest / max(height, width)
    across, down = (max(1, int(np.ceil(round(edge * zoom, 3) / 32))) for edge in (width, height))
    return 32 * across, 32 * down


def placed(mean: Array, box: Array, five: Array | None) -> Array:
    """A first guess (478, 3): the mean face laid on the detector's five points (5, 2), or in its box where the pack's
    detector tells no points."""
    if five is not None:
        return geometry.apply(geometry.fit_similarity(geometry.five_points(mean), five), mean)
    low, high = mean[:, :2].min(0), mean[:, :2].max(0)
    zoom = float(np.mean((box[2:] - box[:2]) / (high - low)))
    shift = (box[:2] + box[2:]) / 2 - zoom * (low + high) / 2
    return geometry.apply(np.hstack([zoom * np.eye(2), shift[:, None]]), mean)


def turned_back(turn: int, height: int, width: int) -> Array:
    """(2, 3): pixel of a picture of that size, which was turned by np.rot90 -> pixel before."""
    right, bottom = width - 1, height - 1
    across = [1, 0, 0], [0, -1, bottom], [-1, 0, right], [0, 1, 0]
    down = [0, 1, 0], [1, 0, 0], [0, -1, bottom], [-1, 0, right]
    return np.array([across[turn], down[turn]], np.float64)


def boxed(transform: Array, box: Array) -> Array:
    """Where a box (4 or more,) goes that is turned by quarters: (4,)."""
    corners = geometry.apply(transform, box[:4].reshape(2, 2))
    return np.concatenate([corners.min(0), corners.max(0)])
