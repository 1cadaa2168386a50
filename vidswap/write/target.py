"""What of a clip a container cannot hold, said before anything is rendered, and which other one would take it."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from vidswap.errors import OutputError
from vidswap.facts import Stream
from vidswap.media import subtitles
from vidswap.media.containers import KINDS, Container, takes
from vidswap.media.copying import copied_packets, copied_streams, describe, muxing, opened_for
from vidswap.media.metadata import Trim
from vidswap.media.streams import is_carried, is_lost, is_other_film, stream_name
from vidswap.types import UPRIGHT, Clip

_SLIP = Fraction(1, 2000)  # seconds that sound and pictures may slip
_TRIED = 300  # packets muxed for a trial: some muxers say no only when they have seen a few


def check(clip: Clip, kind: Container, codec: str, trimmed: bool = False) -> None:
    """Raise OutputError if a container cannot hold all that goes along of a clip: which stream it refuses, and which
    endings would take everything, and video of `codec`. `trimmed`: the range begins after the first frame."""
    if clip.turn != UPRIGHT and not kind.turns:
        able = " or ".join(each.ending for each in KINDS.values() if each.turns and takes(each.muxer, codec))
        raise OutputError(f"{kind.ending} cannot tell that the clip is turned or mirrored, as it is in its file",
                          f"name the output {able or '.mkv'}")  # fmt: skip
    refused = refusals(clip, kind, trimmed)
    if refused:
        taken_by = _endings(clip, kind, codec, trimmed)
        hint = f"{taken_by} would take everything" if taken_by else "no container would take all of this clip"
        raise OutputError(f"{kind.ending} cannot hold the clip's {', '.join(refused)}", hint)
    if any(map(is_carried, clip.streams)):
        try:
            _try(clip, kind)
        except av.FFmpegError as error:
            message = f"{kind.ending} does not take the clip's sound and subtitles ({error.strerror})"
            taken_by = _endings(clip, kind, codec, trimmed) or "another ending"
            raise OutputError(message, f"they are damaged, or of a rare kind: try {taken_by}") from error


def refusals(clip: Clip, kind: Container, trimmed: bool = False) -> list[str]:
    """What of a clip a container cannot hold, not even in other words: "stream 2 (wavpack sound)" ..."""
    wanted = filter(is_carried, clip.streams)
    found = [f"stream {each.index} ({stream_name(each)})" for each in wanted if not _is_taken(each, clip.path, kind)]
    if clip.chapters and not kind.chapters:
        found.append("chapters")
    if kind.ordered and any(_slips(each, clip.film, trimmed) for each in clip.streams if each.kind == "audio"):
        found.append("sound that begins before or after the pictures")
    return found


def left_out(clip: Clip) -> tuple[str, ...]:
    """Streams of a clip that go into no container: "stream 3 (data)", a second film, sound that is all damage ...,
    for a warning. Chapters and timecode of an mp4 are not among them, they are made again."""
    data = (stream for stream in clip.streams if stream.kind == "data" and not _is_made_again(stream, clip))
    lost = filter(is_lost, clip.streams)
    return tuple(f"stream {each.index} ({each.kind})" for each in [*filter(is_other_film, clip.streams), *data, *lost])


def _slips(sound: Stream, film: Stream | None, trimmed: bool) -> bool:
    """Whether a track of sound would slip where every stream begins at 0: unless it begins with the pictures, and, in
    the middle of a clip, can be cut to the sample."""
    if trimmed:
        return not sound.sample
    return film is not None and abs((sound.start or Fraction(0)) - (film.start or Fraction(0))) > _SLIP


def _is_taken(stream: Stream, path: Path, kind: Container) -> bool:
    if stream.kind == "attachment":
        return kind.fonts
    if stream.is_cover:  # Matroska keeps it as an attachment; mov forgets it
        return kind.fonts or (kind.muxer == "mp4" and takes("mp4", stream.codec))
    if takes(kind.muxer, stream.codec):
        return True
    if subtitles.words_of(kind.muxer, stream.codec) is None:
        return False
    return stream.codec != "ass" or subtitles.read_cues(path, stream.index)[1]


def _is_made_again(stream: Stream, clip: Clip) -> bool:
    return "timecode" in stream.tags or bool(clip.chapters and stream.codec == "bin_data")


def _endings(clip: Clip, but: Container, codec: str, trimmed: bool) -> str:
    """The endings of the other containers that refuse nothing."""
    others = [kind for kind in KINDS.values() if kind.muxer != but.muxer and takes(kind.muxer, codec)]
    return " or ".join(kind.ending for kind in others if not refusals(clip, kind, trimmed))


def _try(clip: Clip, kind: Container) -> None:
    """Mux the first packets into memory beside a grey picture. Raises av.FFmpegError where the muxer says no."""
    options = muxing(clip, kind)
    options.pop("movflags", None)  # to put first what is written last a muxer reads the file again: none is there
    with (
        opened_for(clip) as source,
        av.open(io.BytesIO(), "w", format=kind.muxer, container_options=options) as trial,
    ):  # fmt: skip
        video = trial.add_stream({"webm": "libvpx-vp9"}.get(kind.muxer, "libx264"), rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        tracks = copied_streams(clip, source, trial)
        describe(clip, trial, video, Trim(), labels={})
        trial.start_encoding()
        trial.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        trial.mux(video.encode(None))
        for packet in islice(copied_packets(clip, source, tracks, Trim()), _TRIED):
            trial.mux(packet)
