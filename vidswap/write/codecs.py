"""What each encoder of film takes and how it is told: samples, sizes, quality, speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from vidswap.errors import OutputError, UsageError
from vidswap.settings import PRESETS, WriteSettings
from vidswap.write.containers import Container, takes, taking

_OWN = dict(zip(PRESETS, PRESETS))  # of x264 and x265, whose words these are
_SVT_AV1 = dict(zip(PRESETS, ("10", "10", "10", "9", "9", "8", "6", "5", "4", "3")))
_LIBVPX = dict(zip(PRESETS, ("8", "8", "7", "6", "5", "4", "3", "2", "1", "0")))
_SAMPLINGS = ("400", "420", "422", "444")  # each holds all that the ones before it hold
_SLICES, _SLICED = "12", 64  # for as many threads; pictures less wide or tall are one slice


@dataclass(frozen=True)
class Samples:
    """What pictures are made of: `sampling` of the colours ("400" is grey), `bits` of a sample, `full` where the format
    itself says full range, `fields` where each is two; width and height."""

    sampling: str
    bits: int
    full: bool
    fields: bool
    width: int
    height: int

    @property
    def words(self) -> str:
        kinds = f"{self.width} x {self.height}", ":".join(self.sampling), f"{self.bits} bits"
        return ", ".join([*kinds, *["interlaced"] * self.fields])


@dataclass(frozen=True)
class Codec:
    """`name` is FFmpeg's of the stream, `encoder` of what makes it. `bits` it takes by sampling. `crf` and `worst`: of
    its own scale, what looks like x264's 16 (by SSIM, on film), and its end; None where quality is not a choice.
    `presets`: what it calls x264's. `odd`: takes odd sizes of sampled colours. `fields`: keeps interlaced pictures."""

    name: str
    encoder: str
    bits: Mapping[str, tuple[int, ...]]
    crf: int | None = None
    worst: int = 51
    presets: Mapping[str, str] = field(default_factory=dict)
    lossless: bool = True
    odd: bool = False
    fields: bool = False
    smallest: int = 2
    jpeg: bool = False  # has the formats that say full range themselves
    limited: bool = False  # knows no full range
    fastest: Fraction = Fraction(100_000)  # most frames a second it is told of

    def format_for(self, samples: Samples) -> str | None:
        """FFmpeg's name of the samples that hold all of these, the smallest that do; None where there are none."""
        if min(samples.width, samples.height) < self.smallest or (samples.fields and not self.fields):
            return None
        for sampling in _SAMPLINGS[_SAMPLINGS.index(samples.sampling) :]:
            deep = next((bits for bits in self.bits.get(sampling, ()) if bits >= samples.bits), None)
            if deep and (self.odd or not _is_cut(sampling, samples)):
                return self._format(sampling, deep, samples.full)
        return None

    def nearest(self, samples: Samples) -> str:
        """As `format_for`, for what this codec cannot hold all of."""
        open_ = [sampling for sampling in self.bits if self.odd or not _is_cut(sampling, samples)]
        wide = [each for each in open_ if _SAMPLINGS.index(each) >= _SAMPLINGS.index(samples.sampling)]
        sampling = min(wide) if wide else max(open_)
        bits = next((bits for bits in self.bits[sampling] if bits >= samples.bits), self.bits[sampling][-1])
        return self._format(sampling, bits, samples.full)

    def _format(self, sampling: str, bits: int, full: bool) -> str:
        deep = "" if bits == 8 else f"{bits}le"
        if sampling == "400":
            return f"gray{deep}"
        return f"{'yuvj' if full and not deep and self.jpeg else 'yuv'}{sampling}p{deep}"


CODECS = MappingProxyType({
    codec.name: codec
    for codec in (
        Codec("h264", "libx264", dict.fromkeys(_SAMPLINGS, (8, 10)), 16, presets=_OWN, fields=True, jpeg=True),
        Codec("hevc", "libx265", dict.fromkeys(_SAMPLINGS, (8, 10, 12)), 15, presets=_OWN, smallest=16, jpeg=True),
        # SVT-AV1 4.1 has a lossless mode; its 10 bit pictures are not, at its fastest they do not decode
        Codec("av1", "libsvtav1", {"420": (8, 10)}, 8, 63, _SVT_AV1, lossless=False, odd=True, smallest=16,
              fastest=Fraction(240)),
        Codec("vp9", "libvpx-vp9", dict.fromkeys(_SAMPLINGS[1:], (8,)), 12, 63, presets=_LIBVPX, odd=True),
        Codec("prores", "prores_ks", {"422": (10,), "444": (10,)}, lossless=False, odd=True, fields=True, limited=True),
        Codec("ffv1", "ffv1", dict.fromkeys(_SAMPLINGS, (8, 10, 12, 16)), odd=True, fields=True),
    )
})  # fmt: skip
_BY_ITSELF = ("h264", "hevc", "av1", "vp9")  # what is chosen where nobody did and the container's own falls short


def chosen(kind: Container, samples: Samples, settings: WriteSettings) -> tuple[Codec, str]:
    """The codec for a kind of file, and FFmpeg's name of its samples: the one of `settings`, else the container's own
    if it keeps depth and sampling, else another that does, else the container's own. Raises OutputError for a codec
    that the container does not take, or that cannot hold the pictures; UsageError for what a codec cannot be told."""
    codec = _named(kind, samples, settings.codec) if settings.codec else _default(kind, samples)
    _check(codec, settings)
    return codec, codec.format_for(samples) or codec.nearest(samples)


def _named(kind: Container, samples: Samples, name: str) -> Codec:
    if not takes(kind.muxer, name):
        able = ", ".join(each for each in CODECS if takes(kind.muxer, each))
        endings = " or ".join(taking([name]))
        raise OutputError(f"{kind.ending} takes no {name}",
                          f"name the output {endings}, or choose `write.codec` {able}")  # fmt: skip
    if not CODECS[name].format_for(samples):
        able = ", ".join(_able(kind, samples)) or "none of them in this kind of file"
        raise OutputError(f"{name} cannot keep these pictures ({samples.words})", f"`write.codec` that can: {able}")
    return CODECS[name]


def _default(kind: Container, samples: Samples) -> Codec:
    able = _able(kind, samples)
    return CODECS[next((name for name in (kind.codec, *_BY_ITSELF) if name in able), kind.codec)]


def _able(kind: Container, samples: Samples) -> list[str]:
    return [name for name, codec in CODECS.items() if takes(kind.muxer, name) and codec.format_for(samples)]


def _check(codec: Codec, settings: WriteSettings) -> None:
    if settings.crf is not None and not (codec.crf is not None and settings.crf <= codec.worst):
        allowed = f"its scale is 0 to {codec.worst}" if codec.crf is not None else "leave `write.crf` out"
        raise UsageError(f"{codec.name} has no `write.crf` {settings.crf}", allowed)
    if settings.preset is not None and not codec.presets:
        raise UsageError(f"{codec.name} has no `write.preset`", "leave it out")
    if settings.lossless and not codec.lossless:
        able = ", ".join(name for name, each in CODECS.items() if each.lossless)
        raise UsageError(f"{codec.name} is never lossless", f"`write.codec` that can be: {able}")


def options_of(codec: Codec, samples: Samples, settings: WriteSettings, told: Sequence[str]) -> dict[str, str]:
    """The encoder's options; `told` are parameters of its own to hand on."""
    crf, lossless = str(codec.crf if settings.crf is None else settings.crf), settings.lossless
    preset = codec.presets.get(settings.preset or "medium", "")
    match codec.name:
        case "h264":
            return {**({"qp": "0"} if lossless else {"crf": crf}), "preset": preset, "x264-params": ":".join(told)}
        case "hevc":
            words = ":".join(["log-level=none", "open-gop=0", *["lossless=1"] * lossless, *told])
            return {"crf": crf, "preset": preset, "x265-params": words}
        case "av1":
            return {"crf": crf, "preset": preset, "svtav1-params": ":".join(told)}
        case "vp9":
            quality = {"lossless": "1"} if lossless else {"crf": crf}
            return {**quality, "deadline": "good", "cpu-used": preset, "row-mt": "1"}
        case "ffv1":
            sliced = min(samples.width, samples.height) >= _SLICED
            return {"level": "3", "slicecrc": "1", "slices": _SLICES if sliced else "1"}
    return {"vendor": "apl0"}  # QuickTime decodes ProRes of vendors it knows


def _is_cut(sampling: str, samples: Samples) -> bool:
    """Whether colours so sampled would leave half a sample over at the edge."""
    across, down = sampling in ("420", "422"), sampling == "420"
    return bool((across and samples.width % 2) or (down and samples.height % 2))

