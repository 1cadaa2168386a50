"""What there is to load of a model: the files of a commit of the hub's, or those that its makers release. Asks the
network for lists and lengths; models/pull.py loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from vidswap.errors import ModelError
from vidswap.models.hub import WEIGHTS, Entry
from vidswap.models.sound import PICKLES

KINDS = (".safetensors", ".json", ".txt", ".model", ".jinja")  # what a folder of a model is taken of: numbers, words
IDLE = 10.0  # seconds in which a server may say nothing


@dataclass(frozen=True)
class Wanted:
    """A file to load: its place in the model's folder, where it lies, its bytes (0: not told), and its digest: sha256,
    or that of git for small files; "" where nobody tells one."""

    path: str
    url: str
    bytes: int
    sha256: str = ""
    blob: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def becomes(self) -> str:
        """Its place in the model's folder: a pickle becomes safetensors, an archive is unpacked."""
        return f"{self.path.rpartition('.')[0]}.safetensors" if self.is_pickle else self.path

    @property
    def is_pickle(self) -> bool:
        return self.path.endswith(PICKLES)


def wanted_of(found: Entry, commit: str) -> tuple[str, list[Wanted]]:
    """The commit, "" where there is none, and what is to be loaded; `commit` is the one that was pulled before, if it
    was. Raises ModelError, and what huggingface_hub does."""
    return _released(found) if found.urls else _listed(found, commit or found.revision)


def _listed(found: Entry, revision: str) -> tuple[str, list[Wanted]]:
    """What the hub's repository holds of a model."""
    from huggingface_hub import HfApi, get_token, hf_hub_url

    info = HfApi().model_info(found.repo, revision=revision, files_metadata=True, timeout=IDLE)
    commit, token = info.sha or revision, get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    there = {each.rfilename: each for each in info.siblings or ()}
    wanted = []
    for path in chosen(found, list(there)):
        each = there[path]
        wanted.append(Wanted(path, hf_hub_url(found.repo, path, revision=commit), each.size or 0,
                             each.lfs.sha256 if each.lfs else "", each.blob_id or "", headers))  # fmt: skip
    return commit, wanted


def chosen(found: Entry, paths: Sequence[str]) -> list[str]:
    """Of a repository's files those that a model is made of: by its patterns, numbers and words alone, and of a weight
    in two precisions the 16-bit one. Raises ModelError where a pattern finds none."""
    kept = list[str]()
    for pattern in found.files:
        every = [path for path in paths if _fits(path, pattern)]
        fits = [path for path in every if path.endswith(KINDS) or path == pattern]
        if not fits or (_has_weights(every) and not _has_weights(fits)):
            kind = "as safetensors " if _has_weights(every) else ""
            raise ModelError(f"{found.repo} has no {pattern} {kind}(any more)",
                             "name a folder that holds the model, as the engine's setting `weights`")  # fmt: skip
        kept += fits
    return [path for path in dict.fromkeys(kept) if not _has_twin(path, paths) and not _is_outside(path)]


def _has_weights(paths: Sequence[str]) -> bool:
    return any(path.endswith((*WEIGHTS, *PICKLES)) for path in paths)


def _fits(path: str, pattern: str) -> bool:
    """fnmatch, but * stays in its folder."""
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def _has_twin(path: str, paths: Sequence[str]) -> bool:
    """Whether the same weight is there in 16 bits, or this is the one of a training."""
    stem = path.removesuffix(".safetensors")
    return stem != path and (f"{stem}.fp16.safetensors" in paths or ".non_ema" in stem)


def _is_outside(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts


def _released(found: Entry) -> tuple[str, list[Wanted]]:
    """The files of a model that lie on no hub; how long they are is asked."""
    from huggingface_hub import get_session

    wanted = []
    for url in found.urls:
        answer = get_session().head(url, follow_redirects=True, timeout=IDLE)
        answer.raise_for_status()
        path, length = PurePosixPath(url).name, answer.headers.get("content-length", "")
        wanted.append(Wanted(path, url, int(length) if length.isdecimal() else 0, found.sha256.get(path, "")))
    return "", wanted
