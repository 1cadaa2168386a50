"""What a file says of its streams and pictures: the parts of a Clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction


@dataclass(frozen=True)
class Stretch:
    """A part of a film with a clock of its own: from its packet number `packet` of pictures on, in the order of the
    file, `shift` seconds are added to all times, of sound as well, so that it follows the part before. `begins` is
    when its first picture is shown, `ends` when its last packet of pictures is decoded, seconds of its own clock."""

    packet: int
    shift: Fraction
    begins: float
    ends: float


@dataclass(frozen=True)
class PixelFormat:
    """What pictures are made of: `sampling` of the colours ("400" is grey), `bits` of a sample, `full` where the format
    itself says full range, `fields` where each is two; width and height; `rgb` in place of YUV, `clear` with
    transparency."""

    sampling: str = "420"
    bits: int = 8
    full: bool = False
    fields: bool = False
    width: int = 0
    height: int = 0
    rgb: bool = False
    clear: bool = False

    @property
    def words(self) -> str:
        kinds = f"{self.width} x {self.height}", "RGB" if self.rgb else ":".join(self.sampling), f"{self.bits} bits"
        return ", ".join([*kinds, *["interlaced"] * self.fields])

    @property
    def as_yuv(self) -> PixelFormat:
        """As players take what is RGB: 4:2:0, of 8 bits or 10; 4:4:4 where a side is odd, which x264 wants."""
        if not self.rgb:
            return self
        sampling = "444" if self.width % 2 or self.height % 2 else "420"
        return replace(self, sampling=sampling, bits=8 if self.bits == 8 else 10, rgb=False)


@dataclass(frozen=True)
class Stream:
    """What a file says of one of its streams. `kind` is FFmpeg's word ("video", "audio", "subtitle", "attachment",
    "data"), `codec` its name ("" where nobody knows it); `start` in seconds of the file's clock, None: not told.
    `disposition` are FFmpeg's flags; `is_film`: it is the one that is played, `is_cover`: a picture that belongs to the
    file. Of video `size` (width, height), `aspect`, a pixel's width over its height where that is told, and `fields`,
    FFmpeg's number of their order. Of sound `rate`, samples a second, 0 where nobody knows it, and `sample`, the bytes
    of one of all channels where it is PCM."""

    index: int
    kind: str
    codec: str = ""
    start: Fraction | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    disposition: int = 0
    is_film: bool = False
    is_cover: bool = False
    size: tuple[int, int] | None = None
    aspect: Fraction | None = None
    fields: int = 0
    rate: int = 0
    sample: int = 0
