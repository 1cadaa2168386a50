"""AVI has no times of display: what is written is read back at its times, by whoever reads it as FFmpeg does."""

from fractions import Fraction

import av
import pytest
from films import PAL, Film, Sound, make_film

from vidswap.errors import OutputError, UsageError
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

GAPPED = [PAL * i for i in range(24) if i not in (1, 9)]
KEPT = {"codec": "mpeg4", "options": {"qscale": "2"}, "unit": PAL}


def as_read(path):
    """When PyAV shows the pictures, seconds; when the sound begins."""
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        begins = min(packet.pts for packet in container.demux(sound) if packet.size) * sound.time_base
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)], begins


@pytest.mark.parametrize("choices", [{}, {"codec": "ffv1"}, {"codec": "mpeg4", "crf": 5}])
@pytest.mark.parametrize("film", [
    Film(**KEPT, times=GAPPED, sounds=(Sound("mp2"),)),
    Film(unit=Fraction(1, 1000), times=GAPPED, sounds=(Sound("pcm_s16le"),)),
])  # fmt: skip
def test_gaps_and_sound_stay_where_they_are_for_other_readers(tmp_path, film, choices):
    source = make_film(tmp_path / ("a.avi" if film.codec == "mpeg4" else "a.mkv"), film)
    clip, out = open_clip(source), tmp_path / "out.avi"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(segment=7, **choices), {})
    assert as_read(out) == as_read(source) == (GAPPED, 0)
    assert [open_clip(out).seconds(i) for i in range(len(clip))] == [clip.seconds(i) for i in range(len(clip))]


def test_what_would_be_shown_late_is_refused_and_mkv_named(tmp_path):
    clip, out = open_clip(make_film(tmp_path / "a.avi", Film(**KEPT))), tmp_path / "out.avi"
    with pytest.raises(OutputError, match="takes no h264") as caught:
        encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(codec="h264"), {})
    assert ".mkv" in caught.value.hint
    assert not out.exists()
    with pytest.raises(UsageError, match="mpeg4 is never lossless"):
        encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out,
               WriteSettings(codec="mpeg4", lossless=True), {})  # fmt: skip


def test_lossless_in_an_avi_is_ffv1(tmp_path):
    clip, out = open_clip(make_film(tmp_path / "a.avi", Film(**KEPT))), tmp_path / "out.avi"
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(lossless=True), {})
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
