"""Reads clips, and renders some with a trivial engine, as lines of standard input say: `python reader.py`.

A line is the path of a clip, and of the result or nothing, as JSON. The answer is a line: what was refused, or what
could be done with it. Whatever is not a VidswapError is a traceback in the answer; a crash or a hang is for the one who
started this to see.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from pathlib import Path

import rendered
from rendered import Echo, track_of

from vidswap.errors import VidswapError
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Clip, Shot
from vidswap.write.target import is_for_pictures

MEMORY = 4 << 30  # bytes: who claims more in a header is answered with an error of memory
SETTINGS = WriteSettings(preset="ultrafast", crf=30, segment=20)
MOST = 400  # frames that are looked at


def read(path: Path) -> Clip:
    """All facts and pictures of a clip, held against what every later stage relies on."""
    clip = open_clip(path)
    shape = None
    for index, frame in enumerate(frames(clip, 0, MOST)):
        assert frame.index == index
        if index % 5 == 0:
            rgb = frame.rgb
            shape = shape or rgb.shape
            assert rgb.shape == shape
            assert (frame.native.width, frame.native.height) == (clip.width, clip.height)
    assert index == min(len(clip), MOST) - 1
    return clip


def render(clip: Clip, out: Path) -> None:
    """The clip with a grey patch in its corner."""
    span = Shot(0, min(len(clip), MOST))
    settings = WriteSettings() if is_for_pictures(clip, out) else SETTINGS
    rendered.render(clip, out, [track_of(0, 0, span.stop)], Echo(7, 3), settings, span=span)


def answer(path: Path, out: Path | None) -> str:
    try:
        clip = read(path)
        if out:
            render(clip, out)
    except VidswapError as error:
        told = bool(error.hint) and "\n" not in str(error)
        return f"refused: {error}" if told else f"failed: no hint, or two lines: {error}"
    except Exception:  # noqa: BLE001
        return f"failed: {traceback.format_exc()}"
    return f"{len(clip)} frames" + (", rendered" if out else "")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        source, result = json.loads(line)
        print(json.dumps(answer(Path(source), Path(result) if result else None)), flush=True)
