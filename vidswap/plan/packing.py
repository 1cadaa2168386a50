"""Arrays in a plan's archive: packed so that they are small, and read back as what anybody may have written.

Meshes are kept to the last bit, as differences from frame to frame, their bytes sorted by weight: 3.5 kB a frame
instead of 5.7 (float16 would be off by up to a quarter of a pixel, and a render with a plan would differ from one
without). All that reads raises Damaged over bytes that are not theirs.
"""

from __future__ import annotations

import struct
import zipfile
from math import prod

import numpy as np

from vidswap.records import Damaged, unzipping
from vidswap.types import MESH_POINTS, Array

HEAD = 128  # bytes before an array's own, which say its dtype and shape (numpy's format, version 1.0)
FURTHEST = 1e6  # pixels from the picture's corner; no mesh lies there
_DATE = (1980, 1, 1, 0, 0, 0)  # equal plans are equal files

Parts = dict[str, tuple[type, tuple[int, ...]]]  # name of an array -> its dtype and shape


def encode_mesh(mesh: Array) -> Array:
    """(4, T * 478 * 3) uint8: a mesh (T, 478, 3) float32 as differences of its bits from frame to frame, small ones of
    either sign as small numbers, highest bytes last."""
    bits = mesh.reshape(len(mesh), -1).view(np.int32)
    change: Array = np.diff(np.vstack([np.zeros_like(bits[:1]), bits]), axis=0)
    folded = np.ascontiguousarray((change << 1) ^ (change >> 31))
    return np.ascontiguousarray(folded.reshape(-1).view(np.uint8).reshape(-1, 4).T)


def decode_mesh(planes: Array, count: int) -> Array:
    """(T, 478, 3) float32: the inverse of `encode_mesh`; `count` is T."""
    folded = np.ascontiguousarray(planes.T).view(np.uint32).reshape(count, -1)
    change = ((folded >> 1) ^ -(folded & 1)).view(np.int32)
    bits = np.cumsum(change, axis=0, dtype=np.int32)
    return bits.view(np.float32).reshape(count, MESH_POINTS, 3)


def put_array(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    """Put an array in. Raises OSError."""
    content = _head(array.dtype.type, array.shape) + np.ascontiguousarray(array).tobytes()
    archive.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), content, zipfile.ZIP_DEFLATED)


def array_in(archive: zipfile.ZipFile, name: str, parts: Parts) -> Array:
    """An array of the archive, of that very dtype and shape."""
    dtype, shape = parts[name]
    with unzipping():
        content = archive.read(member_of(archive, name))
    if content[:HEAD] != _head(dtype, shape):
        raise Damaged("a part has another shape")
    return np.frombuffer(content, dtype, offset=HEAD).reshape(shape)


def member_of(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """What the archive says of an array. Raises Damaged."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise Damaged("parts are missing") from error
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Damaged("a part is packed in another way")
    return info


def refuse_unless_whole(archive: zipfile.ZipFile, parts: Parts) -> None:
    """Refuse an archive that has not all the parts, or other ones, or whose bytes are not those that were written."""
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in ("header", *parts)):
        raise Damaged("parts are missing")
    for name, (dtype, shape) in parts.items():
        if member_of(archive, name).file_size != HEAD + np.dtype(dtype).itemsize * prod(shape):
            raise Damaged("a part has another size")
    with unzipping():
        if archive.testzip() is not None:
            raise Damaged("a checksum differs")


def _head(dtype: type, shape: tuple[int, ...]) -> bytes:
    words = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEAD - 10) + words.ljust(HEAD - 11).encode() + b"\n"


def plausible(mesh: Array, to_frame: Array) -> Array:
    """The mesh (T, 478, 3), refused where it, or the map (T, 2, 3) of what is visible, is none that a face can have."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = all(float(np.abs(each).max()) < FURTHEST for each in (mesh, to_frame))  # False for NaN
        wide = near and float((mesh.max(1) - mesh.min(1))[:, :2].min()) > 0
    if not wide or float(np.abs(np.linalg.det(to_frame[:, :, :2])).min()) == 0:
        raise Damaged("meshes that no face has")
    return mesh
