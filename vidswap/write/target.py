"""What of a clip a container cannot hold, said before anything is rendered, and which other one would take it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

import av

from vidswap.errors import OutputError
from vidswap.media import subtitles
from vidswap.media.containers import KINDS, Container, takes
from vidswap.media.copying import copied_packets, copied_streams, describe, muxing, opened
from vidswap.media.metadata import Trim
from vidswap.media.source import codec_of, film_of, is_cover, others_of, path_of, sample_bytes
from vidswap.media.streams import is_carried, is_lost, start_of
from vidswap.media.streams import stream_name as in_words
from vidswap.types import UPRIGHT, Clip, Stretch

_SLIP = Fraction(1, 2000)  # seconds that sound and pictures may slip
_TRIED = 300  # packets muxed for a trial: some muxers say no only when they have seen a few


def check(clip: Clip, kind: Container, codec: str, trimmed: bool = False) -> None:
    """Raise OutputError if a container cannot hold all that goes along of a clip: which stream it refuses, and which
    endings would take everything, and video of `codec`. `trimmed`: the range begins after the first frame."""
    if clip.turn != UPRIGHT and not kind.turns:
        able = " or ".join(each.ending for each in KINDS.values() if each.turns and takes(each.muxer, codec))
        raise OutputError(f"{kind.ending} cannot tell that the clip is turned or mirrored, as it is in its file",
                          f"name the output {able or '.mkv'}")  # fmt: skip
    with opened(clip) as source:
        refused = refusals(source, kind, trimmed)
        if refused:
            taken_by = _endings(source, kind, codec, trimmed)
            hint = f"{taken_by} would take everything" if taken_by else "no container would take all of this clip"
            raise OutputError(f"{kind.ending} cannot hold the clip's {', '.join(refused)}", hint)
        if any(map(is_carried, source.streams)):
            try:
                _try(source, kind, clip.stretches)
            except av.FFmpegError as error:
                message = f"{kind.ending} does not take the clip's sound and subtitles ({error.strerror})"
                taken_by = _endings(source, kind, codec, trimmed) or "another ending"
                raise OutputError(message, f"they are damaged, or of a rare kind: try {taken_by}") from error


def refusals(source: Any, kind: Container, trimmed: bool = False) -> list[str]:
    """What of an open file a container cannot hold, not even in other words: "stream 2 (wavpack sound)" ..."""
    wanted = [stream for stream in source.streams if is_carried(stream)]
    found = [f"stream {stream.index} ({in_words(stream)})" for stream in wanted if not _is_taken(stream, source, kind)]
    if source.chapters() and not kind.chapters:
        found.append("chapters")
    if kind.ordered and any(_slips(stream, source, trimmed) for stream in source.streams.audio):
        found.append("sound that begins before or after the pictures")
    return found


def left_out(clip: Clip) -> tuple[str, ...]:
    """Streams of a clip that go into no container: "stream 3 (data)", a second film, sound that is all damage ...,
    for a warning. Chapters and timecode of an mp4 are not among them, they are made again."""
    with opened(clip) as source:
        data = [stream for stream in source.streams if stream.type == "data" and not _is_made_again(stream, source)]
        lost = filter(is_lost, source.streams)
        return tuple(f"stream {stream.index} ({stream.type})" for stream in [*others_of(source), *data, *lost])


def _slips(sound: Any, source: Any, trimmed: bool) -> bool:
    """Whether a track of sound would slip where every stream begins at 0: unless it begins with the pictures, and, in
    the middle of a clip, can be cut to the sample."""
    if trimmed:
        return not sample_bytes(sound)
    film = film_of(source)
    return film is not None and abs(start_of(sound) - start_of(film)) > _SLIP


def _is_taken(stream: Any, source: Any, kind: Container) -> bool:
    codec = codec_of(stream)
    if stream.type == "attachment":
        return kind.fonts
    if is_cover(stream):  # Matroska keeps it as an attachment; mov forgets it
        return kind.fonts or (kind.muxer == "mp4" and takes("mp4", codec))
    if takes(kind.muxer, codec):
        return True
    if subtitles.words_of(kind.muxer, codec) is None:
        return False
    return codec != "ass" or subtitles.read_cues(path_of(source), stream.index)[1]


def _is_made_again(stream: Any, source: Any) -> bool:
    return "timecode" in stream.metadata or bool(source.chapters() and stream.name == "bin_data")


def _endings(source: Any, but: Container, codec: str, trimmed: bool) -> str:
    """The endings of the other containers that refuse nothing."""
    others = [kind for kind in KINDS.values() if kind.muxer != but.muxer and takes(kind.muxer, codec)]
    return " or ".join(kind.ending for kind in others if not refusals(source, kind, trimmed))


def _try(source: Any, kind: Container, stretches: Sequence[Stretch]) -> None:
    """Mux the first packets into memory beside a grey picture. Raises av.FFmpegError where the muxer says no."""
    options = muxing(source, kind)
    options.pop("movflags", None)  # to put first what is written last a muxer reads the file again: none is there
    with av.open(io.BytesIO(), "w", format=kind.muxer, container_options=options) as trial:
        video = trial.add_stream({"webm": "libvpx-vp9"}.get(kind.muxer, "libx264"), rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        tracks = copied_streams(source, trial)
        describe(source, trial, video, Trim(), rate=Fraction(25), labels={})
        trial.start_encoding()
        trial.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        trial.mux(video.encode(None))
        for packet in islice(copied_packets(source, tracks, Trim(), stretches), _TRIED):
            trial.mux(packet)
