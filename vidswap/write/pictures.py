"""Pictures in order -> a still, an animation, or a folder of pictures, each saying what it is.

PNG, JPEG, WebP, TIFF and GIF by Pillow; PNG of 16 bits by OpenCV. Nothing bears the result's name before it is whole.
Colours that nobody touched stay as they are wherever the format can hold them: PNG and TIFF always, GIF where a frame
has at most 256, JPEG and WebP as nearly as the original was kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from vidswap.files import as_output_error, publish
from vidswap.media.images import QUALITY, ImageKind, kind_called
from vidswap.media.native import planes
from vidswap.trust.disclosure import SOURCE_TYPE
from vidswap.types import Array, Clip
from vidswap.write.work import MADE

_DESCRIPTION, _SOFTWARE, _ORIENTATION = 0x010E, 0x0131, 0x0112  # EXIF
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{kind}</Iptc4xmpExt:DigitalSourceType>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{words}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""

Picture = tuple[int, Any]  # index in the clip, av.VideoFrame
Show = Callable[[Any], Array]  # a native picture as it is seen: (H, W, 3) uint8


def write_pictures(
    clip: Clip, frames: Iterable[Picture], count: int, out: Path, *, folder: Path, labels: Mapping[str, str], show: Show
) -> None:
    """Write `count` consecutive frames of the clip as what the ending of `out` names, in `folder` until it is whole.
    `show` is for film, whose pictures are written as they are seen; the clip's own pictures keep their colours, depth
    and transparency. Times are rounded to what the format counts in (GIF 10 ms, the others 1 ms), their sum stays
    exact; equal frames in a row may become one that is shown longer. Raises OutputError."""
    pictures = ((index, values(native, show)) for index, native in frames)
    part, kind = folder / f"{MADE}{out.suffix}", kind_called(out)
    with as_output_error(out):
        if kind is None:
            _save_all(clip, pictures, part, labels)
        elif count == 1 and kind.stills:
            _save(next(pictures)[1], part, labels, clip.files[0] if clip.files else None)
        else:
            _save_moving(clip, pictures, count, part, labels)
        publish(part, out)


def values(native: Any, show: Show) -> Array:
    """(H, W), (H, W, 3) or (H, W, 4), uint8 or uint16: planar RGB and grey as they are, YUV as it is seen."""
    shape = native.format
    if not shape.is_rgb and len(shape.components) > 1:
        return show(native)
    stored = planes(native)
    if len(stored) == 1:
        return stored[0].copy()
    return np.stack([stored[place] for place in (2, 0, 1, 3)[: len(stored)]], -1)  # as G, B, R, alpha


# -- files ------------------------------------------------------------------------------------------------------------


def _save_all(clip: Clip, pictures: Iterable[tuple[int, Array]], folder: Path, labels: Mapping[str, str]) -> None:
    """Each picture under the name of the one it was made of; a .bmp becomes a .png, it could not say what it is."""
    folder.mkdir()
    for index, pixels in pictures:
        source = clip.files[index]
        kind = kind_called(source)
        name = source.name if kind and kind.stills else f"{source.stem}.png"
        _save(pixels, folder / name, labels, source)


def _save(pixels: Array, path: Path, labels: Mapping[str, str], source: Path | None) -> None:
    kind = _kind_of(path)
    if kind.deep and pixels.dtype == np.uint16:
        path.write_bytes(_deep_png(pixels, labels))
        return
    image = _image(pixels)
    if not kind.clear and image.mode == "RGBA":
        image = image.convert("RGB")
    image.save(path, kind.name, **_said(kind, labels, _known(source)), **_exactness(kind, source))


def _save_moving(
    clip: Clip, pictures: Iterator[tuple[int, Array]], count: int, path: Path, labels: Mapping[str, str]
) -> None:
    kind = _kind_of(path)
    start, first = next(pictures)
    whole = (_image(pixels) for pixels in chain([first], (pixels for _, pixels in pictures)))
    images = map(_indexed, whole) if kind.indexed else whole
    lengths = _lengths(clip, start, start + count, kind.tick)
    known = _known(clip.files[0] if clip.files else None)
    options = {"duration": lengths if count > 1 else lengths[0], "loop": known.get("loop", 0)}
    if kind.indexed:  # what is clear in one frame would show the frame before
        options["disposal"] = 2 if first.shape[2:] == (4,) else 1
    image = next(images)
    rest = images if kind.indexed else list(images)  # the others are looked through more than once
    image.save(path, kind.name, save_all=True, append_images=rest, **options, **_said(kind, labels, known),
                      **_exactness(kind, clip.files[0] if clip.files else None))  # fmt: skip


def _kind_of(path: Path) -> ImageKind:
    kind = kind_called(path)
    if kind is None:
        raise ValueError(f"{path}: expected the ending of a picture")
    return kind


def _lengths(clip: Clip, start: int, stop: int, tick: int) -> list[int]:
    """How long each frame is shown, ms, in whole ticks; what is rounded off one is added to the next."""
    ends = [*(int(time) for time in clip.pts[start:stop]), int(clip.pts[stop - 1]) + clip.duration(stop - 1)]
    times = [tick * round(Fraction(1000, tick) * (end - ends[0]) * clip.time_base) for end in ends]
    return [max(tick, after - before) for before, after in pairwise(times)]


def _image(pixels: Array) -> Any:
    """As Pillow has it; 16 bits become 8."""
    narrow = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return Image.fromarray(np.ascontiguousarray(narrow))


def _indexed(image: Any) -> Any:
    """A picture of at most 256 colours, the same where it has no more; what is clear is so wholly or not at all."""
    pixels = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    opaque = pixels[..., 3] >= 128
    colours = 256 - int(not opaque.all())
    codes = pixels[..., :3].astype(np.int64) @ [1 << 16, 1 << 8, 1]
    known, places = np.unique(codes[opaque], return_inverse=True)
    if len(known) <= colours:
        indices = np.full(opaque.shape, 255, np.uint8)
        indices[opaque] = places
        made = Image.fromarray(indices, "P")
        made.putpalette(known.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes())
    else:
        made = image.convert("RGB").quantize(colours, dither=Image.Dither.FLOYDSTEINBERG)
        if colours < 256:
            made.paste(255, mask=Image.fromarray(~opaque))
    if colours < 256:
        made.info["transparency"] = 255
    return made


def _deep_png(pixels: Array, labels: Mapping[str, str]) -> bytes:
    """A PNG of 16 bits, which Pillow cannot write, with the labels as its text."""
    flipped = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels
    plain = cv2.imencode(".png", flipped)[1].tobytes()
    head = 8 + 25  # the mark, and the first chunk
    return plain[:head] + b"".join(_chunk(b"iTXt", *each) for each in labels.items()) + plain[head:]


def _chunk(kind: bytes, name: str, value: str) -> bytes:
    body = kind + name.encode() + b"\0\0\0\0\0" + value.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


# -- what a file says, and how exact it is ----------------------------------------------------------------------------


def _known(source: Path | None) -> dict[str, Any]:
    """What the clip's own file says of its colours, its making and its loops."""
    if source is None:
        return {}
    try:
        with Image.open(source) as image:
            return {name: value for name, value in image.info.items() if name in ("icc_profile", "exif", "loop", "dpi")}
    except (OSError, ValueError, SyntaxError):
        return {}


def _said(kind: ImageKind, labels: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Pillow's options that put the labels, the colour profile and the camera's tags into a file."""
    said = labels.get("comment", "")
    xmp = _XMP.format(kind=escape(SOURCE_TYPE), words=escape(said))
    options = {
        "comment": said.encode(), "xmp": xmp.encode(), "pnginfo": _text(labels, xmp),
        "exif": _exif(known, "" if "pnginfo" in kind.holds else said),
        **{name: known[name] for name in ("icc_profile", "dpi") if name in known},
    }  # fmt: skip
    return {name: options[name] for name in kind.holds if name in options}


def _text(labels: Mapping[str, str], xmp: str) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    for name, value in labels.items():
        text.add_itxt(name.capitalize() if name == "comment" else name, value)
    text.add_itxt("XML:com.adobe.xmp", xmp)
    return text


def _exif(known: Mapping[str, Any], said: str) -> bytes:
    """The camera's tags, without how it was held (which is undone), with what was done."""
    exif = Image.Exif()
    try:
        exif.load(known.get("exif", b""))
        exif.pop(_ORIENTATION, None)
        exif.update({_SOFTWARE: "vidswap", **({_DESCRIPTION: said} if said else {})})
        return exif.tobytes()
    except (ValueError, SyntaxError, struct.error, OSError, TypeError):  # a damaged block is not worth a result
        plain = Image.Exif()
        plain.update({_SOFTWARE: "vidswap", **({_DESCRIPTION: said} if said else {})})
        return plain.tobytes()


def _exactness(kind: ImageKind, source: Path | None) -> dict[str, Any]:
    """Options for as little loss as the original had: a JPEG's own tables, a lossless WebP where the source was not a
    JPEG or a lossy WebP."""
    if kind.name == "JPEG":
        try:
            with Image.open(source or "") as image:
                if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode == "RGB":
                    return {"qtables": image.quantization, "subsampling": JpegImagePlugin.get_sampling(image)}
        except (OSError, ValueError, SyntaxError):
            pass
    if kind.name == "WEBP":
        lossless = source is not None and (source.suffix.lower() in (".png", ".gif") or _is_lossless_webp(source))
        return {**kind.saving, "lossless": lossless, "quality": 75 if lossless else QUALITY, "exact": lossless}
    return dict(kind.saving)


def _is_lossless_webp(source: Path) -> bool:
    with open(source, "rb") as file:
        return b"VP8L" in file.read(4096)
