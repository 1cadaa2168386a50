"""Pictures of faces with their meshes, as files in memory <-> one file of samples, whatever network learns from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import UsageError
from vidswap.files import as_output_error, whole
from vidswap.models import ROOT
from vidswap.types import Array

HELD = "7"  # portraits whose number ends so are for tests


@dataclass(frozen=True, eq=False)
class Row:
    """One sample of a `kind`: `pictures` as files in memory; `mesh` (478, 3) in pixels of the first; `facts` what else
    is known."""

    kind: str
    pictures: tuple[bytes, ...]
    mesh: Array
    facts: dict[str, float] = field(default_factory=dict)


def refuse_models(out: Path, what: str) -> None:
    """Raise UsageError where the folder for samples of `what` is that of the models."""
    if out.resolve() == (ROOT / "embedded").resolve():
        raise UsageError(f"the samples of {what} are no model", "put them into a folder of your own")


def save(rows: list[Row], target: Path) -> Path:
    """Write rows into one file, whole or not at all, in a folder that is made if need be. Raises OutputError."""
    facts = [{"kind": row.kind, "sizes": [len(p) for p in row.pictures], **row.facts} for row in rows]
    blob = np.frombuffer(b"".join(p for row in rows for p in row.pictures), np.uint8)
    mesh = np.stack([row.mesh for row in rows]).astype(np.float16)
    with as_output_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with as_output_error(target), whole(target) as part, open(part, "wb") as file:
        np.savez(file, blob=blob, rows=json.dumps(facts), mesh=mesh)
    return target


def load(source: Path) -> list[Row]:
    """The rows of a file that `save` wrote."""
    stored = np.load(source)
    blob, start, rows = stored["blob"], 0, []
    for facts, mesh in zip(json.loads(str(stored["rows"])), stored["mesh"].astype(np.float32), strict=True):
        ends = start + np.cumsum(facts.pop("sizes"))
        pictures = tuple(blob[a:b].tobytes() for a, b in zip([start, *ends], ends))
        rows.append(Row(facts.pop("kind"), pictures, mesh, facts))
        start = int(ends[-1])
    return rows


def faces_in(folder: Path, held: str) -> Iterator[tuple[str, Array, Array]]:
    """Name, picture (H, W, 3) and mesh (478, 3) of a folder's faces in labels.npz, but for those whose name ends in
    `held`, whose picture cannot be read or whose mesh is no number."""
    labels = np.load(folder / "labels.npz")
    for name, mesh in zip(map(str, labels["name"]), labels["mesh"].astype(np.float32)):
        if held and Path(name).stem.endswith(held):
            continue
        picture = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if picture is not None and np.isfinite(mesh).all():
            yield name, picture[..., ::-1], mesh


# -- files in memory --------------------------------------------------------------------------------------------------


def jpeg(picture: Array, quality: int) -> bytes:
    """A picture, RGB, as a JPEG."""
    return cv2.imencode(".jpg", _other_order(picture), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png(picture: Array) -> bytes:
    """A picture, RGB, RGBA, or of one or two channels, as a PNG; of two, the first comes back three times."""
    if picture.ndim == 3 and picture.shape[2] == 2:
        picture = np.dstack([picture[..., :1]] * 3 + [picture[..., 1:]])
    return cv2.imencode(".png", _other_order(picture))[1].tobytes()


def decoded(file: bytes) -> Array:
    """The picture that `jpeg` or `png` made a file of: RGB, RGBA, or (H, W)."""
    return _other_order(np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)))


def _other_order(picture: Array) -> Array:
    """BGR of RGB, and RGB of BGR."""
    return np.ascontiguousarray(picture[..., [2, 1, 0, 3][: picture.shape[2]]] if picture.ndim == 3 else picture)
