import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from films import Film, make_film
from footage import make_clip, moving

from vidswap.errors import InputError, VidswapError
from vidswap.media.sound import sounds
from vidswap.media.source import FORMATS, film_of, opened
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode
from vidswap.write.target import left_out

DEFAULT, NONE = Disposition.default, Disposition(0)
Track = tuple[str, int, tuple[int, int], Disposition]  # codec, pictures, size, disposition


def film_with(path: Path, tracks: Sequence[Track]) -> Path:
    """A file of several tracks of pictures, 25 a second."""
    with av.open(str(path), "w") as target:
        made = []
        for codec, count, size, disposition in tracks:
            track = target.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            track.disposition = disposition
            made.append((track, moving(count, *size)))
        target.start_encoding()
        for track, pictures in made:
            for i, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                target.mux(track.encode(frame))
            target.mux(track.encode(None))
    return path


PHOTO, FILM, SMALL = ("libx264", 1, (256, 192), DEFAULT), ("libx264", 12, (96, 64), DEFAULT), (48, 32)


@pytest.mark.parametrize(("name", "tracks", "film"), [
    ("photo.mp4", (PHOTO, FILM), 1),
    ("photo.mp4", (PHOTO, ("libx264", 12, (96, 64), NONE)), 1),
    ("photo.mp4", (FILM, PHOTO), 0),
    ("two.mkv", (("libx264", 12, (96, 64), NONE), ("libx264", 12, (96, 64), DEFAULT)), 1),
    ("two.mkv", (("libx264", 12, (96, 64), DEFAULT), ("libx264", 12, (128, 96), NONE)), 0),
    ("previews.mov", (("mjpeg", 2, SMALL, NONE), FILM), 1),
    ("previews.mkv", (("mjpeg", 12, SMALL, Disposition.timed_thumbnails), ("libx264", 12, (96, 64), NONE)), 1),
])  # fmt: skip
def test_of_several_films_the_one_is_taken_that_players_show(tmp_path, name, tracks, film):
    path = film_with(tmp_path / name, tracks)
    clip, out = open_clip(path), tmp_path / f"out{path.suffix}"
    assert (len(clip), clip.width, clip.height) == (tracks[film][1], *tracks[film][2])
    [note] = clip.notes
    assert note.startswith(f"stream {1 - film} (")
    assert "left out" in note
    assert left_out(clip) == (f"stream {1 - film} (video)",)
    with opened(path) as container:
        assert film_of(container).index == film
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(), {})
    made = open_clip(out)
    kinds = [stream.kind for stream in made.streams]
    assert (len(made), made.width, kinds) == (len(clip), clip.width, ["video"])


def test_a_lone_film_and_a_cover_are_no_note(tmp_path):
    film = Film(times=[Fraction(i, 25) for i in range(3)], cover=True)
    assert open_clip(make_film(tmp_path / "a.mp4", film)).notes == ()


MANIFESTS = {
    "ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n",
    "mpd": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{name}</BaseURL>'
           "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names there")
@pytest.mark.parametrize("kind", MANIFESTS)
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ""])
def test_a_playlist_is_refused_by_name_and_opens_no_other_file(tmp_path, kind, ending):
    make_clip(tmp_path / "film.mp4", moving(2), sound=False)
    os.mkfifo(tmp_path / "pipe.mp4")  # whoever opens it waits for ever
    for name in ("film.mp4", "pipe.mp4"):
        path = tmp_path / f"clip{ending or '.' + kind}"
        path.write_text(MANIFESTS[kind].format(name=name))
        with pytest.raises(InputError, match="cannot be read"):
            sounds(path)
        with pytest.raises(InputError, match="playlist"):
            open_clip(path)


def test_text_and_scripts_are_no_films(tmp_path):
    path = tmp_path / "clip.mp4"
    for text in ("hello\n" * 40, "1\n00:00:00,000 --> 00:00:01,000\nHello\n", ";FFMETADATA1\ntitle=x\n"):
        path.write_text(text)
        with pytest.raises(VidswapError, match="cannot be read"):
            open_clip(path)


@pytest.mark.parametrize(("ending", "codec"), [
    ("mp4", "libx264"), ("mov", "prores_ks"), ("mkv", "ffv1"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"),
    ("ts", "mpeg2video"), ("mpg", "mpeg2video"), ("flv", "libx264"), ("asf", "mpeg4"), ("mxf", "mpeg2video"),
    ("nut", "ffv1"), ("h264", "libx264"), ("hevc", "libx265"), ("m4v", "mpeg4"), ("y4m", "wrapped_avframe"),
    ("mjpeg", "mjpeg"), ("ivf", "libvpx"), ("gxf", "mpeg2video"), ("dv", "dvvideo"), ("m2v", "mpeg2video"),
    ("obu", "libsvtav1"),
])  # fmt: skip
def test_films_of_every_kind_are_read(tmp_path, ending, codec):
    size = {"dv": (720, 576), "gxf": (720, 576)}.get(ending, (96, 64))
    form = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    unit = Fraction(1, 25)
    film = Film(codec=codec, size=size, pix_fmt=form, options={}, unit=unit, times=[unit * i for i in range(3)])
    path = tmp_path / f"a.{ending}"
    if ending == "y4m":
        path.write_bytes(b"YUV4MPEG2 W96 H64 F25:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + bytes(96 * 64 * 3 // 2)) * 3)
    else:
        make_film(path, film)
    clip = open_clip(path)
    assert [(frame.native.width, frame.native.height) for frame in frames(clip)] == [size] * len(clip)
    assert len(clip) >= 3


def test_no_format_that_is_read_names_other_files():
    others = {"concat", "hls", "dash", "imf", "sdp", "rtsp", "lavfi", "image2", "tty", "webm_dash_manifest"}
    assert not others & {*FORMATS}
