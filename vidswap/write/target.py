"""What is to be made of a clip, decided from its facts before anything is rendered: how it is encoded, and all that
cannot be written, with what would do instead."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from vidswap.errors import OutputError, UsageError
from vidswap.facts import Stream
from vidswap.files import as_output_error, check_place, check_room, refuse_clash
from vidswap.media import subtitles
from vidswap.media.codecs import CODECS
from vidswap.media.colour import BT709, FULL, LIMITED, is_hdr
from vidswap.media.containers import Container, kind_of, kinds_that
from vidswap.media.copying import copied_packets, copied_streams, describe, muxing, opened_for
from vidswap.media.encoder import Encoding, encoding_of
from vidswap.media.images import endings_of, kind_called
from vidswap.media.metadata import Trim
from vidswap.media.streams import is_carried, is_lost, is_other_film, stream_name
from vidswap.media.view import view_of
from vidswap.settings import FITS, TitleSettings, WriteSettings
from vidswap.types import UPRIGHT, Clip, Shot
from vidswap.write.inscription import Inscription, inscriber, inscription_of

_SLIP = Fraction(1, 2000)  # seconds that sound and pictures may slip
MOST_MOVING = 1 << 28  # pixels of an animation, all frames together, which Pillow holds at once
HDR = frozenset({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"})  # of HDR10, beside pictures
_TRIED = 300  # packets muxed for a trial: some muxers say no only when they have seen a few


@dataclass(frozen=True)
class Shape:
    """The size of a result's pictures, as they are stored; `fit` is how a clip's of another shape come into it: "crop"
    follows faces, "whole" shows all of each picture, before a blurred one. Films of 4:2:0 want even sides."""

    width: int
    height: int
    fit: str = "crop"

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or self.fit not in FITS:
            raise ValueError(f"Shape: expected sides of at least 1 and fit crop or whole, got {self}")


@dataclass(frozen=True)
class Target:
    """What is to be made of the frames `span` of a clip: the file or folder `out`, of pictures of a `shape`; film by an
    `encoding`, None for what is written as pictures. `left_out` are the clip's streams that go into no container;
    `notes` say what of the pictures is lost, a line each."""

    out: Path
    span: Shot
    shape: Shape
    encoding: Encoding | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_reshaped: bool = False
    inscription: Inscription | None = None
    is_plain: bool = False

    def seen(self, clip: Clip) -> Clip:
        """The clip whose pictures are written: itself, or one of the target's shape, for every screen."""
        clip = reshaped(clip, self.shape) if self.is_reshaped else clip
        return in_sdr(clip) if self.is_plain else clip


def plan_target(
    clip: Clip, span: Shot, out: Path, settings: WriteSettings, shape: Shape | None = None, *,
    titles: TitleSettings | None = None,
) -> Target:  # fmt: skip
    """What is to be made of a clip, in a `shape` or its own, refused now or never; nothing is left behind. Raises
    OutputError where it cannot be made, UsageError where pictures are asked for as films are, InputError for captions
    that cannot be read."""
    if shape is None and settings.shape:
        shape = Shape(*settings.shape, settings.fit)
    inscription = inscription_of(clip, span, titles) if titles else None
    plain = settings.sdr and not is_for_every_screen(clip)
    if (inscription or plain) and shape is None and not is_upright(clip):
        width, height = view_of(clip).size
        shape = Shape(width + width % 2, height + height % 2, "whole")
    clip, encoding = reshaped(clip, shape) if shape else clip, None
    clip = in_sdr(clip) if plain else clip
    if inscription:
        inscriber(inscription, (clip.width, clip.height))  # what it would refuse it refuses now
    if not is_for_pictures(clip, out):
        check_film(clip, out, settings.codec, span.start > 0)
        encoding = encoding_of(clip, out, settings)
        if settings.loudness is not None and clip.stretches:
            raise OutputError("the sound of a clip whose clock starts again cannot be levelled",
                              "leave `write.loudness` out, or copy the clip into another file first")  # fmt: skip
    elif settings.codec or settings.preset or settings.lossless or {settings.crf, settings.loudness} != {None}:
        films = "`write.codec`, `write.crf`, `write.preset`, `write.lossless` and `write.loudness` are for films"
        raise UsageError(f"{out.name} is of pictures; {films}", "leave them out; a .png loses nothing")
    else:
        check_pictures(clip, len(span), out)
    if settings.sheet:
        check_picture(settings.sheet)
    notes = encoding.notes if encoding else ()
    return Target(out, span, shape or Shape(clip.width, clip.height), encoding, left_out(clip), notes,
                  shape is not None, inscription, plain)  # fmt: skip


def is_for_every_screen(clip: Clip) -> bool:
    """Whether pictures are of what every screen and platform takes: SDR of 8 bits, 4:2:0, limited range."""
    made, (_, extent, _, transfer) = clip.format, clip.colour
    plain = (made.bits, made.sampling, made.rgb, made.clear) == (8, "420", False, False)
    return plain and not (made.full or extent == FULL or is_hdr(transfer))


def in_sdr(clip: Clip) -> Clip:
    """The facts of a clip whose pictures are brought to what every screen takes (ITU-R BT.709)."""
    beside = {name: data for name, data in clip.beside.items() if name not in HDR}
    made = replace(clip.format, sampling="420", bits=8, full=False, rgb=False, clear=False)
    return replace(clip, format=made, colour=(BT709, LIMITED, BT709, BT709), beside=beside)


def is_upright(clip: Clip) -> bool:
    """Whether pictures are stored as they are seen."""
    return clip.turn == UPRIGHT and clip.pixel == 1 and not clip.interlaced and not clip.rotation


def reshaped(clip: Clip, shape: Shape) -> Clip:
    """The facts of a clip whose pictures are reframed: upright, with square pixels, none of two fields."""
    width, height, beside = shape.width, shape.height, {**clip.beside}
    beside.pop("DISPLAYMATRIX", None)
    return replace(
        clip, width=width, height=height, turn=UPRIGHT, rotation=0, pixel=Fraction(1), interlaced=False, beside=beside,
        format=replace(clip.format, width=width, height=height, fields=False),
        streams=tuple(replace(stream, aspect=None if stream.is_film else stream.aspect) for stream in clip.streams),
    )  # fmt: skip


# -- pictures ---------------------------------------------------------------------------------------------------------


def is_for_pictures(clip: Clip, out: Path) -> bool:
    """Whether `out` names a picture, an animation, or (for a clip that is a folder) a folder, not a film."""
    kind = kind_called(out)
    return (clip.container == "sequence" and not out.suffix) or (kind is not None and (kind.stills or kind.moves))


def check_pictures(clip: Clip, count: int, out: Path) -> None:
    """Raise OutputError when `count` frames of the clip cannot become the picture, animation or folder `out`."""
    kind, ending = kind_called(out), out.suffix.lower()
    (check_place if kind else check_room)(out)
    refuse_clash([("the result", out)], [("the clip", clip.path)])
    if not kind and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is not an empty folder", "give the pictures a folder of their own")
    if count > 1 and kind and not kind.moves:
        able = " ".join(endings_of(lambda each: each.moves))
        raise OutputError(f"a {ending} holds one picture, these are {count}", f"end it in {able}, or .mp4")
    if count > 1 and kind and count * clip.width * clip.height > MOST_MOVING:
        raise OutputError(f"{count} frames are too many for a {ending}",
                          "take fewer with `read.start` and `read.end`, or .mp4")  # fmt: skip


def check_picture(out: Path) -> None:
    """Raise OutputError when no drawn picture can be written to `out`."""
    able = endings_of(lambda kind: kind.photos and kind.stills)
    if out.suffix.lower() not in able:
        raise OutputError(f"{out}: a picture's name ends in one of {', '.join(able)}", "for example sheet.png")
    check_place(out)


# -- film -------------------------------------------------------------------------------------------------------------


def check_film(clip: Clip, out: Path, codec: str | None = None, trimmed: bool = False) -> None:
    """Raise OutputError when `out` cannot become the result: unknown ending, no such folder, not writable, the clip
    itself, or a container that does not take all that goes along (`codec` of the pictures, for what to do about it;
    None is the container's own), from the first frame on or, where `trimmed`, from a later one."""
    check_place(out)
    kind = kind_of(out)
    refuse_clash([("the result", out)], [("the clip", clip.path)])
    with as_output_error(out, av.FFmpegError):
        check(clip, kind, codec or kind.codec, trimmed)


def check(clip: Clip, kind: Container, codec: str, trimmed: bool = False) -> None:
    """Raise OutputError if a container cannot hold all that goes along of a clip: which stream it refuses, and which
    endings would take everything, and video of `codec`. `trimmed`: the range begins after the first frame."""
    if clip.turn != UPRIGHT and not kind.turns:
        able = " or ".join(kinds_that(lambda each: each.turns and each.takes(codec)))
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
        return kind.covers == "attachment" or (kind.covers == "track" and kind.takes(stream.codec))
    if kind.takes(stream.codec):
        return True
    if kind.words_for(stream.codec) is None:
        return False
    return stream.codec != "ass" or subtitles.read_cues(path, stream.index)[1]


def _is_made_again(stream: Stream, clip: Clip) -> bool:
    return "timecode" in stream.tags or bool(clip.chapters and stream.codec == "bin_data")


def _endings(clip: Clip, but: Container, codec: str, trimmed: bool) -> str:
    """The endings of the other containers that refuse nothing."""

    def is_open(kind: Container) -> bool:
        return kind.muxer != but.muxer and kind.takes(codec) and not refusals(clip, kind, trimmed)

    return " or ".join(kinds_that(is_open))


def _try(clip: Clip, kind: Container) -> None:
    """Mux the first packets into memory beside a grey picture. Raises av.FFmpegError where the muxer says no."""
    options = {name: value for name, value in muxing(clip, kind).items() if name not in kind.rereading}
    with (
        opened_for(clip) as source,
        av.open(io.BytesIO(), "w", format=kind.muxer, container_options=options) as trial,
    ):  # fmt: skip
        video = trial.add_stream(CODECS[kind.codec].encoder, rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        tracks = copied_streams(clip, source, trial)
        describe(clip, trial, video, Trim(), labels={})
        trial.start_encoding()
        trial.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        trial.mux(video.encode(None))
        for packet in islice(copied_packets(clip, source, tracks, Trim()), _TRIED):
            trial.mux(packet)
