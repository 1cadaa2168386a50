"""Two people in view at once: they cross, stand cheek to cheek, leave and come back, and each keeps their own face."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from footage import make_clip

from vidswap import EngineChoice, Role, Settings, plan_clip, swap_clip
from vidswap.face import geometry
from vidswap.plan.file import open_plan
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import FaceReader, open_faces
from vidswap.settings import ReadSettings, WriteSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.types import Array, Consent, Crops, Identity, Swapped

SAMPLES = Path(__file__).parents[1] / "samples"
WIDE, HIGH, SIDE, COUNT = 640, 240, 130, 66
RED, GREEN = (220, 30, 30), (30, 200, 40)


class Paint:
    """An engine that paints the face in a colour."""

    exact = True

    def __init__(self, rgb: tuple[int, int, int]) -> None:
        self.rgb, self.key, self.needs = rgb, str(rgb), Needs(64, "aligned", 8, 2)

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        return Swapped(crops, np.full_like(crops.rgb, self.rgb), (crops.mask > 0.5).astype(np.float32))


def head(rgb: Array, reader: FaceReader) -> Array:
    """(SIDE, SIDE, 4) float32: a face and an oval around it, to lay on a picture."""
    (face,) = reader.detect(rgb)
    box = geometry.bounds(face.mesh)
    middle, half = (box[:2] + box[2:]) / 2, 0.85 * (box[2:] - box[:2]).max()
    turn = np.array([[SIDE / (2 * half), 0, SIDE / 2], [0, SIDE / (2 * half), SIDE / 2]])
    turn[:, 2] -= turn[:, :2] @ middle
    cut = cv2.warpAffine(rgb, turn, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    oval = np.zeros((SIDE, SIDE), np.float32)
    cv2.ellipse(oval, (SIDE // 2, SIDE // 2), (round(0.40 * SIDE), round(0.48 * SIDE)), 0, 0, 360, 1, -1)
    return np.dstack([cut.astype(np.float32), cv2.GaussianBlur(oval, (0, 0), 2)])


def places(frame: int) -> tuple[float | None, float]:
    """Where the two are, x of their middles: they come together, cross, and the first leaves for a while."""
    one = np.interp(frame, [0, 10, 24, 34, 40], [110, 270, 370, 520, 720])
    other = np.interp(frame, [0, 10, 24, 34], [530, 370, 270, 120])
    if frame >= 52:
        one = np.interp(frame, [52, 65], [720, 500])
    return (float(one) if one < WIDE + 60 else None), float(other)


def pictures(heads: tuple[Array, Array]) -> list[Array]:
    """The second passes before the first."""
    shade = np.linspace(70, 130, WIDE, dtype=np.float32)[None, :, None] * np.ones((HIGH, 1, 3), np.float32)
    texture = np.random.default_rng(1).normal(0, 3, shade.shape).astype(np.float32)
    made = []
    for frame in range(COUNT):
        picture = shade + texture
        for own, x in zip(heads, places(frame)):
            if x is not None:
                shift = np.float32([[1, 0, x - SIDE / 2], [0, 1, HIGH / 2 - SIDE / 2 + 4 * np.sin(frame / 5)]])
                laid = cv2.warpAffine(own, shift, (WIDE, HIGH))
                picture += laid[..., 3:] * (laid[..., :3] - picture)
        made.append(picture.clip(0, 255).astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reader = open_faces("embedded")
    photo = cv2.cvtColor(cv2.imread(str(SAMPLES / "selfie.jpg")), cv2.COLOR_BGR2RGB)
    actor = next(frames(open_clip(SAMPLES / "clip.mp4"), 0, 1)).rgb
    return make_clip(tmp_path_factory.mktemp("two") / "clip.mp4", pictures((head(photo, reader), head(actor, reader))))


def test_each_keeps_their_own_face(clip: Path, tmp_path: Path) -> None:
    found = plan_clip(clip, tmp_path / "clip.plan", settings=Settings())
    assert found.persons == (0, 1)
    with open_plan(tmp_path / "clip.plan") as plan:
        begun = [track for track in plan.tracks if track.start == 0]
        first = {track.person: float(track.part(0, 1).mesh[0, :, 0].mean()) for track in begun}
        assert len(first) == 2
        left = min(first, key=lambda who: first[who])
    someone = Identity((np.zeros((8, 8, 3), np.uint8),), (np.zeros((478, 3), np.float32),), np.ones(4, np.float32) / 2,
                       Consent("self"))  # fmt: skip
    red, green = EngineChoice("warp", (("a", 1),)), EngineChoice("warp", (("b", 1),))
    painters = {red: Paint(RED), green: Paint(GREEN)}
    cast = {left: Role(someone, engine=red), 1 - left: Role(someone, engine=green)}
    out = tmp_path / "out.mp4"
    swap_clip(clip, cast, out, Settings(ReadSettings(plan=tmp_path / "clip.plan"), write=WriteSettings(crf=10)),
              load=lambda choice, _: nullcontext(painters[choice]))  # fmt: skip
    wrong = list[str]()
    for frame in frames(open_clip(out)):
        for x, colour in zip(places(frame.index), (RED, GREEN)):
            hidden = colour == RED and x is not None and abs(x - places(frame.index)[1]) < 70
            if x is None or hidden or not 60 < x < WIDE - 60:
                continue
            seen = frame.rgb[HIGH // 2 - 12 : HIGH // 2 + 12, round(x) - 6 : round(x) + 6].mean((0, 1))
            other = GREEN if colour == RED else RED
            if np.linalg.norm(seen - other) < np.linalg.norm(seen - colour):
                wrong.append(f"{frame.index}: {seen.round()} at {x:.0f}")
    assert wrong == []
