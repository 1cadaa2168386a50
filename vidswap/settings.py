"""All that a person can choose: frozen, one section a stage, each setting read and checked when it is set.

A setting takes what a program has and what a person types: `ReadSettings(start="1:02", rate=24)`, paths as strings.
Messages call it by its place in Settings, `read.start`; the command line says its flag instead (words.in_flags), which
it makes of what the setting says of itself: a new one is declared here, and nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from vidswap.errors import UsageError, quoted
from vidswap.timepoint import ALLOWED, Time, TimePoint, as_time_point

if TYPE_CHECKING:  # numpy comes with it, and --help need not wait for that
    from vidswap.types import EngineChoice

CODECS = ("h264", "hevc", "av1", "vp9", "prores", "ffv1", "mpeg4")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
FITS = ("crop", "whole")  # follow faces; all of each picture, before a blurred one
Place = str | os.PathLike[str]
Pairs = tuple[tuple[str, Any], ...]
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_NUMBERS = re.compile("[0-9]{1,9}( *, *[0-9]{1,9})*")
_RATE = re.compile(r"\d{1,9}(\.\d{1,12})?(/\d{1,9})?", re.ASCII)
_PRICE = re.compile(r"\d{1,9}(\.\d{1,4})? [A-Za-z]{3,12}")
Given = TypeVar("Given")
Kept = TypeVar("Kept")
Read_co = TypeVar("Read_co", covariant=True)


@dataclass(frozen=True)
class Kind(Generic[Read_co]):
    """A kind of values: `read` makes what is kept of what is given, and raises ValueError (and what numbers raise) for
    what cannot be; `allowed` says what can, in words; `metavar` stands for one in the help."""

    read: Callable[[Any], Read_co]
    allowed: str
    metavar: str = "N"


class Setting(Generic[Given, Kept]):
    """A field of a section, a descriptor: a value of a kind, or its default. Setting it raises UsageError. `about` is
    what a person should know of it (""; it is for programs alone), `unset` what its default means."""

    def __init__(self, kind: Kind[Kept], default: Kept, about: str = "", unset: str = "") -> None:
        self.kind, self.default, self.about, self.unset = kind, default, about, unset or str(default)
        self.name = self.key = ""

    def __set_name__(self, owner: type, name: str) -> None:
        section = owner.__name__.removesuffix("Settings").lower() or owner.__module__.rpartition(".")[2]
        self.key, self.name = name, f"`{section}.{name}`"

    @overload
    def __get__(self, section: None, owner: type) -> Kept: ...
    @overload
    def __get__(self, section: object, owner: type) -> Kept: ...
    def __get__(self, section: object | None, owner: type) -> Kept:
        return self.default if section is None else vars(section)[self.key]

    def __set__(self, section: object, value: Given) -> None:
        try:
            kept = self.default if value is None and self.default is None else self.kind.read(value)
        except UsageError as error:
            raise UsageError(f"{self.name}: {error.message}", error.hint) from error
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UsageError(f"{self.name} is {quoted(value)}", f"allowed: {self.kind.allowed}") from error
        vars(section)[self.key] = kept


def whole(low: int, high: int) -> Kind[int]:
    """Whole numbers from `low` to `high`."""

    def read(value: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
        if number is None or not low <= number <= high:
            raise ValueError
        return number

    return Kind(read, f"{low} to {high}")


def number(low: float, high: float) -> Kind[float]:
    """Numbers from `low` to `high`."""

    def read(value: Any) -> float:
        number = float(value) if isinstance(value, (str, Real)) and not isinstance(value, bool) else None
        if number is None or not low <= number <= high:
            raise ValueError
        return number

    return Kind(read, f"{low} to {high}")


def one_of(names: Sequence[str]) -> Kind[str]:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Kind(read, ", ".join(names), "|".join(names if len(names) < 8 else (names[0], "...", names[-1])))


def _rate(value: Any) -> Fraction:
    """25, 23.976 or 24000/1001: pictures a second, exact."""
    if isinstance(value, bool) or not isinstance(value, (str, Real)):
        raise ValueError
    if isinstance(value, str):
        if not _RATE.fullmatch(value.strip()):
            raise ValueError
        numerator, _, denominator = value.partition("/")
        value = Fraction(numerator) / Fraction(denominator or 1)
    rate = Fraction(value) if isinstance(value, (int, Fraction)) else Fraction(repr(float(value)))
    if not Fraction(1, 100) <= rate <= 1000:
        raise ValueError
    return rate


def _person(value: Any) -> str:
    words = value if isinstance(value, str) else str(whole(0, 10**9).read(value))
    if words not in ("largest", "all") and not _NUMBERS.fullmatch(words):
        raise ValueError
    return words


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _switch(value: Any) -> bool:
    found = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError
    return found


def _options(value: Any) -> Pairs:
    """A mapping, or the pairs of one, in the order of their names; lists become tuples."""
    pairs = {name: tuple(each) if isinstance(each, list) else each for name, each in dict(value).items()}
    if not all(isinstance(name, str) for name in pairs):
        raise ValueError
    hash(tuple(pairs.values()))
    return tuple(sorted(pairs.items()))


def _shape(value: Any) -> tuple[int, int]:
    sides = value.strip().split("x") if isinstance(value, str) else value
    width, height = (whole(16, 8192).read(side) for side in sides)
    if width % 2 or height % 2:
        raise ValueError
    return width, height


def _safe(value: Any) -> tuple[float, ...]:
    top, right, bottom, left = (number(0, 0.4).read(share) for share in value)
    return top, right, bottom, left


def _shots(value: Any) -> tuple[int, ...]:
    """Their numbers, in order."""
    words = value.split(",") if isinstance(value, str) else value
    return tuple(sorted({whole(0, 10**9).read(number) for number in words}))


def _price(value: Any) -> str:
    """An amount and a currency: "5 USD"."""
    if not isinstance(value, str) or not _PRICE.fullmatch(value.strip()):
        raise ValueError
    return value.strip()


def _path(value: Any) -> Path:
    words = os.fspath(value)
    if not isinstance(words, str) or not words or "\0" in words:
        raise ValueError
    return Path(words)


TIME = Kind(as_time_point, ALLOWED, "TIME")
FILE = Kind(_path, "a path", "FILE")
PICTURE = Kind(_path, "a path", "PNG")
PACK = Kind(lambda value: str(_path(value)), "a pack's name, or a folder", "NAME|DIR")
PEOPLE = Kind(_person, "largest, all, or numbers shown by `vidswap cast`, such as 0 or 0,2", "largest|all|N,N")
RATE = Kind(_rate, "0.01 to 1000, or as 24000/1001")
WORD = Kind(_word, "a word", "NAME")
SHAPE = Kind(_shape, "even sides of 16 to 8192 pixels, such as 1080x1920", "WxH")
PRICE = Kind(_price, "an amount and its currency, such as 5 USD", "PRICE")
SHOTS = Kind(_shots, "numbers of shots in a report, such as 2 or 2,5", "N,N")
SAFE = Kind(_safe, "four shares of 0 to 0.4: top, right, bottom, left")
SWITCH = Kind(_switch, "True or False")
OPTIONS = Kind(_options, "names of settings, and values")
PATHS = (FILE, PICTURE, PACK)  # kinds that a shell can complete


def path_of(name: str, value: Place) -> Path:
    """A path that a function was given as its argument `name`. Raises UsageError."""
    try:
        return _path(value)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{name} is {quoted(value)}", "allowed: a path, as a string or a pathlib.Path") from error


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise UsageError where a function was given no `kind` as its argument `name`."""
    if not isinstance(value, kind):
        raise UsageError(f"{name} is {quoted(value)}", f"allowed: {kind.__name__}(...)")


@dataclass(frozen=True)
class ReadSettings:
    """What is read, and of whom. `start`: the first picture is at or after it; `end`: so is the first left out; both in
    seconds, or in words: "1:02:03.25", "120f". `cache`: a folder where what was found is kept for the next time; None:
    nowhere."""

    start: Setting[Time | None, TimePoint | None] = Setting(
        TIME, None, "where to begin: 3.5 (s), 1:02:03.25, or 120f", "the first picture"
    )
    end: Setting[Time | None, TimePoint | None] = Setting(TIME, None, "where to stop, told alike", "after the last")
    person: Setting[str | int, str] = Setting(PEOPLE, "largest", "whom to replace; N as `vidswap cast` counts them")
    face_pack: Setting[Place, str] = Setting(
        PACK, "embedded", "models that read faces: an insightface pack's name, or a folder with its .onnx files"
    )
    plan: Setting[Place | None, Path | None] = Setting(
        FILE, None, "made by `vidswap plan`: start rendering at once", "none"
    )
    cache: Setting[Place | None, Path | None] = Setting(FILE, None)
    rate: Setting[float | str | Fraction, Fraction] = Setting(
        RATE, Fraction(25), "a folder's pictures a second: 0.01 to 1000, or 24000/1001"
    )

    def __post_init__(self) -> None:
        start = self.start or TimePoint(Fraction(0), self.end is not None and self.end.in_frames)
        if self.end is not None and self.end.is_after(start) is False:
            raise UsageError(f"`read.end` is {self.end}; it must come after `read.start` ({start})", ALLOWED)


@dataclass(frozen=True)
class SwapSettings:
    """`engine`: its name; `options`: what of its own settings is not left as it is, such as {"steps": 2}: the engine
    checks them (swap.engine.settings_of)."""

    engine: Setting[str, str] = Setting(WORD, "embedded")
    options: Setting[Mapping[str, object] | Pairs, Pairs] = Setting(OPTIONS, ())
    most: Setting[str | None, str | None] = Setting(
        PRICE, None, "what engines that are paid may cost, all together", "nothing"
    )
    commercial: Setting[bool, bool] = Setting(SWITCH, False, "refuse what may not be used for money")
    redo: Setting[Place | None, Path | None] = Setting(
        FILE, None, "a report that `vidswap evaluate -o` wrote: swap only the shots that fell short, and keep all "
        "other frames of the result that it is of", "all is swapped"
    )  # fmt: skip
    shots: Setting[str | Sequence[int], tuple[int, ...]] = Setting(
        SHOTS, (), "of the report, the shots to swap anew in place of those that fell short", "those"
    )

    @property
    def choice(self) -> EngineChoice:
        from vidswap.types import EngineChoice

        return EngineChoice(self.engine, self.options)


@dataclass(frozen=True)
class WriteSettings:
    """How the result is written. `segment`: frames that are finished at once."""

    codec: Setting[str | None, str | None] = Setting(
        one_of(CODECS), None, "how a film is coded", "h264; vp9 in a webm, mpeg4 in an avi"
    )
    crf: Setting[int | None, int | None] = Setting(
        whole(0, 63), None,
        "quality on the codec's own scale, 0 is best: to 51 for h264 and hevc, to 63 for av1 and vp9",
        "what looks alike: h264 16, hevc 15, av1 8, vp9 12",
    )  # fmt: skip
    megabits: Setting[float | None, float | None] = Setting(
        number(0.1, 1000), None, "a second, that h264 and hevc take at most", "as many as the quality needs"
    )
    preset: Setting[str | None, str | None] = Setting(one_of(PRESETS), None, "slower, smaller files", "medium")
    lossless: Setting[bool, bool] = Setting(SWITCH, False, "no bit of the pictures is lost: h264, hevc, av1, ffv1")
    sdr: Setting[bool, bool] = Setting(
        SWITCH, False, "for every screen: HDR is mapped to SDR, all else brought to 8 bits, 4:2:0"
    )
    shape: Setting[str | tuple[int, int] | None, tuple[int, int] | None] = Setting(
        SHAPE, None, "size of the result; the camera follows who is played", "the clip's"
    )
    fit: Setting[str, str] = Setting(one_of(FITS), "crop", "how pictures of another shape come into it")
    loudness: Setting[float | None, float | None] = Setting(
        number(-40, -5), None, "of the sound, LUFS (EBU R 128), true peaks under -1 dBTP: -14 for most platforms",
        "as it is, copied to the bit",
    )  # fmt: skip
    sheet: Setting[Place | None, Path | None] = Setting(PICTURE, None, "also write a before/after picture", "none")
    resume: Setting[bool, bool] = Setting(SWITCH, True, "start over, whatever an earlier render has finished")
    segment: Setting[int, int] = Setting(whole(1, 100_000), 240)  # x264's own: shorter costs bytes

    def __post_init__(self) -> None:
        if self.crf is not None and self.lossless:
            raise UsageError("`write.crf` and `write.lossless` exclude each other", "choose one")


@dataclass(frozen=True)
class TitleSettings:
    """What is written on the pictures. `safe`: the shares of height and width at top, right, bottom and left that stay
    free, since apps lay their buttons there."""

    captions: Setting[Place | None, Path | None] = Setting(
        FILE, None, "burnt in: an .srt or .vtt file, timed as the clip is; or own, its first track of subtitles", "none"
    )
    title: Setting[str, str] = Setting(WORD, "", "words at the head of the first four seconds", "none")
    label: Setting[str, str] = Setting(WORD, "", "small words that stay in a corner, such as AI-generated", "none")
    corner: Setting[str, str] = Setting(one_of(CORNERS), "top-left", "where the label stands")
    font: Setting[Place | None, Path | None] = Setting(
        FILE, None, "a .ttf or .otf file", "Source Sans: Latin, Greek, Cyrillic"
    )
    safe: Setting[Sequence[float], tuple[float, ...]] = Setting(SAFE, (0.05, 0.05, 0.05, 0.05))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written."""
        return not (self.captions or self.title or self.label)


@dataclass(frozen=True)
class Settings:
    read: ReadSettings = field(default_factory=ReadSettings)
    swap: SwapSettings = field(default_factory=SwapSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    title: TitleSettings = field(default_factory=TitleSettings)

    def __post_init__(self) -> None:
        for name, kind in SECTIONS.items():
            check_kind(f"`settings.{name}`", getattr(self, name), kind)


SECTIONS = MappingProxyType(
    {"read": ReadSettings, "swap": SwapSettings, "write": WriteSettings, "title": TitleSettings}
)


def setting(name: str) -> Setting[Any, Any]:
    """The setting of a name such as "read.rate"; KeyError where there is none."""
    section, _, key = name.partition(".")
    found = vars(SECTIONS[section])[key]
    if not isinstance(found, Setting):
        raise KeyError(name)
    return found
