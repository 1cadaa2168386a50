"""What each encoder of film takes and how it is told: samples, sizes, quality, speed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from vidswap.errors import OutputError, UsageError
from vidswap.facts import PixelFormat
from vidswap.media.containers import Container, taking
from vidswap.settings import PRESETS, WriteSettings

_OWN = dict(zip(PRESETS, PRESETS))  # of x264 and x265, whose words these are
_SVT_AV1 = dict(zip(PRESETS, ("10", "10", "10", "9", "9", "8", "6", "5", "4", "3")))
_LIBVPX = dict(zip(PRESETS, ("8", "8", "7", "6", "5", "4", "3", "2", "1", "0")))
_SAMPLINGS = ("400", "420", "422", "444")  # each holds all that the ones before it hold
_LAMBDA = 118  # of a step of quality, as FFmpeg counts
_SLICES, _SLICED = "12", 64  # for as many threads; pictures less wide or tall are one slice


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
    rounds: bool = False  # takes samples of more bits than it holds, as it is never exact
    rgb: Mapping[int, str] = field(default_factory=dict)  # its formats of RGB by bits
    clear: Mapping[str, str] = field(default_factory=dict)  # its formats with transparency, by those without
    fastest: Fraction = Fraction(100_000)  # most frames a second it is told of

    @property
    def is_exact(self) -> bool:
        """Whether it loses no bit, whatever it is told."""
        return self.lossless and self.crf is None

    def format_for(self, samples: PixelFormat) -> str | None:
        """FFmpeg's name of the samples that hold all of these, the smallest that do; None where there are none."""
        if min(samples.width, samples.height) < self.smallest or (samples.fields and not self.fields):
            return None
        if samples.rgb:
            return self._clear(next((form for bits, form in self.rgb.items() if bits >= samples.bits), None), samples)
        for sampling in _SAMPLINGS[_SAMPLINGS.index(samples.sampling) :]:
            held = self.bits.get(sampling, ())
            deep = next((bits for bits in held if bits >= samples.bits), held[-1] if held and self.rounds else None)
            if deep and (self.odd or not _is_cut(sampling, samples)):
                return self._clear(self._format(sampling, deep, samples.full), samples)
        return None

    def _clear(self, form: str | None, samples: PixelFormat) -> str | None:
        return self.clear.get(form, form) if form and samples.clear else form

    def nearest(self, samples: PixelFormat) -> str:
        """As `format_for`, for what this codec cannot hold all of."""
        open_ = [sampling for sampling in self.bits if self.odd or not _is_cut(sampling, samples)]
        wide = [each for each in open_ if _SAMPLINGS.index(each) >= _SAMPLINGS.index(samples.sampling)]
        sampling = min(wide) if wide else max(open_)
        bits = next((bits for bits in self.bits[sampling] if bits >= samples.bits), self.bits[sampling][-1])
        form = self._format(sampling, bits, samples.full)
        return self.clear.get(form, form) if samples.clear else form

    def _format(self, sampling: str, bits: int, full: bool) -> str:
        deep = "" if bits == 8 else f"{bits}le"
        if sampling == "400":
            return f"gray{deep}"
        return f"{'yuvj' if full and not deep and self.jpeg else 'yuv'}{sampling}p{deep}"


CODECS = MappingProxyType({
    codec.name: codec
    for codec in (
        Codec("h264", "libx264", dict.fromkeys(_SAMPLINGS, (8, 10)), 16, presets=_OWN, fields=True, jpeg=True,
              rgb={8: "bgr0"}),
        Codec("hevc", "libx265", dict.fromkeys(_SAMPLINGS, (8, 10, 12)), 15, presets=_OWN, smallest=16, jpeg=True,
              rgb={8: "gbrp", 10: "gbrp10le", 12: "gbrp12le"}),
        # SVT-AV1 4.1 has a lossless mode; its 10 bit pictures are not, at its fastest they do not decode
        Codec("av1", "libsvtav1", {"420": (8, 10)}, 8, 63, _SVT_AV1, lossless=False, odd=True, smallest=16,
              fastest=Fraction(240)),
        Codec("vp9", "libvpx-vp9", dict.fromkeys(_SAMPLINGS[1:], (8,)), 12, 63, presets=_LIBVPX, odd=True,
              rgb={8: "gbrp"}),
        Codec("prores", "prores_ks", {"422": (10,), "444": (10,)}, lossless=False, odd=True, fields=True, limited=True,
              rounds=True, clear=dict.fromkeys(("yuv422p10le", "yuv444p10le"), "yuva444p10le")),
        Codec("ffv1", "ffv1", dict.fromkeys(_SAMPLINGS, (8, 10, 12, 16)), odd=True, fields=True,
              rgb={8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"},
              clear={"bgr0": "bgra", **{f"gbrp{bits}le": f"gbrap{bits}le" for bits in (10, 12, 16)},
                     "yuv420p12le": "yuva420p16le",
                     **{f"yuv{sampling}p{deep}": f"yuva{sampling}p{deep}" for sampling in _SAMPLINGS[1:]
                        for deep in ("", "10le", "12le", "16le") if (sampling, deep) != ("420", "12le")}}),
        # what an AVI tells when pictures are shown: it has times of decoding only, by which no other is read
        Codec("mpeg4", "mpeg4", {"420": (8,)}, 2, 31, lossless=False, odd=True, fields=True, limited=True),
    )
})  # fmt: skip


def chosen(kind: Container, samples: PixelFormat, settings: WriteSettings) -> tuple[Codec, str]:
    """The codec for a kind of file, and FFmpeg's name of its samples: the one of `settings`, else the container's own
    if it keeps depth and sampling, else another that does, else the container's own. Raises OutputError for a codec
    that the container does not take, or that cannot hold the pictures; UsageError for what a codec cannot be told."""
    codec = _named(kind, samples, settings.codec) if settings.codec else _default(kind, samples, settings.lossless)
    _check(codec, settings)
    if samples.rgb and (settings.lossless or codec.is_exact) and (form := codec.format_for(samples)):
        return codec, form
    samples = samples.as_yuv
    return codec, codec.format_for(samples) or codec.nearest(samples)


def lost_in(codec: Codec, form: str, samples: PixelFormat, lossless: bool) -> tuple[str, ...]:
    """What of the pictures their format does not hold, for a person who should know, a line each."""
    lost = []
    is_rgb = form in codec.rgb.values() or form in {codec.clear.get(each) for each in codec.rgb.values()}
    if samples.rgb and lossless and not is_rgb:
        lost.append(f"{codec.name} makes YUV ({form}) of the clip's RGB, which rounds it: ffv1 in an .mkv keeps it")
    if _bits(form) < (yuv := samples.as_yuv).bits:
        lost.append(f"{codec.name} keeps {_bits(form)} of the {samples.bits} bits of the clip's samples")
    kept = next((each for each in _SAMPLINGS if each in form), "400")
    if not is_rgb and _SAMPLINGS.index(kept) < _SAMPLINGS.index(yuv.sampling):
        lost.append(f"{codec.name} keeps the clip's colours at {':'.join(kept)} of {':'.join(yuv.sampling)}")
    if samples.clear and form not in codec.clear.values():
        keeps = "ffv1 in an .mkv, or prores in a .mov, keeps it"
        lost.append(f"the clip's transparency is lost, {codec.name} has none: {keeps}")
    return tuple(lost)


def _named(kind: Container, samples: PixelFormat, name: str) -> Codec:
    if not kind.takes(name):
        able = ", ".join(filter(kind.takes, CODECS))
        endings = " or ".join(taking([name]))
        raise OutputError(f"{kind.ending} takes no {name}",
                          f"name the output {endings}, or choose `write.codec` {able}")  # fmt: skip
    if not CODECS[name].format_for(samples.as_yuv):
        able = ", ".join(_able(kind, samples)) or "none of them in this kind of file"
        raise OutputError(f"{name} cannot keep these pictures ({samples.words})", f"`write.codec` that can: {able}")
    return CODECS[name]


def _bits(form: str) -> int:
    found = re.search(r"(\d+)le$", form)
    return int(found[1]) if found else 8


def _default(kind: Container, samples: PixelFormat, lossless: bool) -> Codec:
    able = [name for name in _able(kind, samples) if CODECS[name].lossless or not lossless]
    if lossless and samples.clear and kind.archive:
        return CODECS["ffv1"]
    return CODECS[next((name for name in kind.codecs if name in able), kind.codec)]


def _able(kind: Container, samples: PixelFormat) -> list[str]:
    return [name for name, codec in CODECS.items() if kind.takes(name) and codec.format_for(samples.as_yuv)]


def _check(codec: Codec, settings: WriteSettings) -> None:
    if settings.crf is not None and not (codec.crf is not None and settings.crf <= codec.worst):
        allowed = f"its scale is 0 to {codec.worst}" if codec.crf is not None else "leave `write.crf` out"
        raise UsageError(f"{codec.name} has no `write.crf` {settings.crf}", allowed)
    if settings.preset is not None and not codec.presets:
        raise UsageError(f"{codec.name} has no `write.preset`", "leave it out")
    if settings.lossless and not codec.lossless:
        able = ", ".join(name for name, each in CODECS.items() if each.lossless)
        raise UsageError(f"{codec.name} is never lossless", f"`write.codec` that can be: {able}")


def options_of(codec: Codec, samples: PixelFormat, settings: WriteSettings, own: Sequence[str]) -> dict[str, str]:
    """The encoder's options; `own` are parameters of it alone, handed on as they are."""
    crf, lossless = str(codec.crf if settings.crf is None else settings.crf), settings.lossless
    preset = codec.presets.get(settings.preset or "medium", "")
    kilobits = 1000 * (settings.megabits or 0)  # a full buffer comes on top, once a segment, and sound
    most = {"maxrate": f"{round(0.9 * kilobits)}k", "bufsize": f"{round(0.5 * kilobits)}k"} if kilobits else {}
    match codec.name:
        case "h264":
            options = {**({"qp": "0"} if lossless else {"crf": crf}), "preset": preset, "x264-params": ":".join(own),
                       **most}  # fmt: skip
        case "hevc":
            words = ":".join(["log-level=none", "open-gop=0", *["lossless=1"] * lossless, *own])
            options = {"crf": crf, "preset": preset, "x265-params": words, **most}
        case "av1":
            options = {"crf": crf, "preset": preset, "svtav1-params": ":".join(own)}
        case "vp9":
            quality = {"lossless": "1"} if lossless else {"crf": crf}
            options = {**quality, "deadline": "good", "cpu-used": preset, "row-mt": "1"}
        case "mpeg4":
            options = {"flags": "+qscale", "global_quality": str(_LAMBDA * max(int(crf), 1)), "threads": "1"}
        case "prores":
            options = {"vendor": "apl0"}  # QuickTime decodes ProRes of vendors it knows
        case _:
            sliced = min(samples.width, samples.height) >= _SLICED
            options = {"level": "3", "slicecrc": "1", "slices": _SLICES if sliced else "1"}
    return options


def _is_cut(sampling: str, samples: PixelFormat) -> bool:
    """Whether colours so sampled would leave half a sample over at the edge."""
    across, down = sampling in ("420", "422"), sampling == "420"
    return bool((across and samples.width % 2) or (down and samples.height % 2))
