"""The one door to a film's file, which of its streams is the film, and how its sound is packed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from vidswap.media.containers import demuxer_of

MOST_PIXELS = 1 << 26  # of a picture, 8192 x 8192: more is a damaged header, or an attack on memory
# FFmpeg's names of what holds all it shows. Not among them: what names other files or addresses (concat, hls, dash,
# imf, sdp ...), devices, scripts, text that is drawn, and lone pictures, which have a reader of their own.
FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpegtsraw", "mpeg", "mpegvideo", "flv", "live_flv", "kux", "asf", "asf_o",
    "mxf", "gxf", "lxf", "ogg", "nut", "ivf", "dv", "wtv", "rm", "ivr", "swf", "nsv", "nuv", "vivo", "pva", "pmp", "ty",
    "dhav", "r3d", "cine", "mlv", "bink", "smk", "flic", "roq", "film_cpk", "ea", "thp", "gif", "apng",
    "m4v", "h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "vc1", "vc1test", "dirac", "dnxhd", "cavsvideo",
    "avs2", "avs3", "apv", "mjpeg", "mjpeg_2000", "mpjpeg", "smjpeg", "ingenient", "yuv4mpegpipe",
    "wav", "w64", "aiff", "caf", "mp3", "aac", "ac3", "eac3", "flac", "amr",
)  # fmt: skip
TEXTS = ("srt", "webvtt", "ass")  # files of captions, which are no clips
_DOOR = {"protocol_whitelist": "file", "max_pixels": str(MOST_PIXELS)}
_PLAYLISTS = (b"ffconcat", b"#extm3u", b"<?xml", b"<mpd", b"<smil", b"[playlist]", b"v=0")
_PCM = re.compile(r"pcm_(?:[suf](8|16|24|32|64)(?:le|be)?|alaw|mulaw)")
_BARE, _CHECKED = 7, 9  # bytes of an ADTS header without and with a checksum
_THUMBNAIL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def opened(path: Path, formats: Sequence[str] = FORMATS) -> Any:
    """The container of a file, open, of one of the formats; nothing but this file is ever read. Raises av.FFmpegError
    and OSError, as av.open does."""
    options = {"format_whitelist": ",".join(formats), **_DOOR}
    return av.open(f"file:{path}", metadata_errors="ignore", options=options)


def file_of(container: Any) -> Path:
    """The path of an open file."""
    return Path(container.name.removeprefix("file:"))


def is_playlist(path: Path) -> bool:
    """Whether a file begins as those do that only name other files (ffconcat, m3u8, mpd, smil, sdp, pls)."""
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PLAYLISTS)


def film_of(container: Any) -> Any:
    """The video stream that is played, of an open file; None where there is none.

    Covers and thumbnails never are, nor a lone picture or what no decoder knows beside a film. Of several films it is
    FFmpeg's best stream: the one with the default flag, then the one with more pictures at its beginning, then with
    more bits a second."""
    films = [stream for stream in container.streams.video if not stream.disposition & _THUMBNAIL]
    films = _those(films, lambda stream: stream.codec_context is not None)
    films = _those(films, lambda stream: stream.frames != 1)
    best = container.streams.best("video")
    return next((stream for stream in films if best is not None and stream.index == best.index), None) or next(
        iter(_those(films, lambda stream: stream.disposition & Disposition.default)), None
    )


def is_cover(stream: Any) -> bool:
    """A picture that belongs to the file, not a moving one."""
    return bool(stream.type == "video" and stream.disposition & Disposition.attached_pic)


def codec_of(stream: Any) -> str:
    """FFmpeg's name of a stream's codec, whatever decodes it; "" where nothing does."""
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context else ""


def sample_bytes(stream: Any) -> int:
    """Bytes of one sample of all channels of PCM sound, 0 for all that is not PCM."""
    found = _PCM.fullmatch(codec_of(stream)) if stream.type == "audio" else None
    return int(found[1] or 8) // 8 * stream.codec_context.layout.nb_channels if found else 0


def header_bytes(packet: Any) -> int | None:
    """Bytes of the header (ADTS, ISO 13818-7) that a transport stream's AAC has before what other containers hold of a
    packet; 0 for all else, None where it is lost."""
    stream = packet.stream
    if not demuxer_of(stream.container.format.name).adts or stream.type != "audio" or codec_of(stream) != "aac":
        return 0
    head = bytes(memoryview(packet)[:2])
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xF0 != 0xF0:
        return None
    return _BARE if head[1] & 1 else _CHECKED


def _those(streams: list[Any], wanted: Any) -> list[Any]:
    """The streams that are wanted; all where none is."""
    return list(filter(wanted, streams)) or streams
