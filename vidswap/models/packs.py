"""A face pack, by name or folder -> its models, which find and recognise faces beside those that ship."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from vidswap.errors import ModelError
from vidswap.models.hub import digests_in, entry, how_to_get, lock_of, place_of
from vidswap.models.registry import digests, path_to, registry

OURS = ("mesh", "features", "face")  # models that read faces beside any pack's own
EMBEDDED = ("detector", "recognizer")  # those of the pack that ships
PULLED = ("buffalo_l", "antelopev2")  # packs that `vidswap models pull` gets
INSIGHTFACE_HOME = Path("~/.insightface/models")
RESEARCH = "non-commercial research only, as insightface says of its packs"


def find_pack(pack: str) -> Path:
    """The folder of a pack's .onnx files. Raises ModelError where there is none; never asks the network."""
    if pack == "embedded":
        return {path_to(name).parent for name in EMBEDDED}.pop()
    named = Path(os.path.expanduser(INSIGHTFACE_HOME)) / pack  # of os.path: these raise for no name
    places = [Path(os.path.expanduser(pack)), named]
    if pack in PULLED and lock_of(pack):
        places.append(place_of(pack))
    folder = next((place for place in places if os.path.isdir(place)), None)
    if folder is None:
        hint = f"use embedded, a folder with .onnx files, or unpack insightface's {pack} into {named}"
        hint = how_to_get(entry(pack)) if pack in PULLED else hint
        raise ModelError(f"no face pack is called '{pack}'", hint)
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"the face pack folder {folder} has no .onnx files", "give the folder that holds them")
    return folder.resolve()


def licence_of(pack: str) -> str:
    """One line: what the pack's models may be used for."""
    if pack == "embedded":
        return f"{registry()['detector'].licence}, trained on synthetic faces"
    return f"face pack '{pack}': {RESEARCH}"


def models_of(pack: str) -> dict[str, str]:
    """File -> sha256 of all models that read faces with a pack. Raises ModelError."""
    if pack == "embedded":
        return digests(*OURS, *EMBEDDED)
    theirs = map(digests_in, sorted(find_pack(pack).glob("*.onnx")))  # each is hashed once, not at each use
    return dict(chain.from_iterable(files.items() for files in (digests(*OURS), *theirs)))
