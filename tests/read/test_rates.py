"""Frames a second: what the header says where the times bear it out, else what they say."""

from fractions import Fraction

import av
import numpy as np
import pytest
from footage import moving
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.encoder import encoding_of
from vidswap.read.clip import frames, open_clip
from vidswap.read.times import borne_out
from vidswap.settings import WriteSettings
from vidswap.write.film import encode

THOUSANDTH = Fraction(1, 1000)


def browser_film(path, times, claimed=1000):
    """A recording as browsers make it: VP8, times in milliseconds, no rate but that of the unit."""
    with av.open(str(path), "w") as target:
        track = target.add_stream("libvpx", rate=claimed, options={"deadline": "realtime", "cpu-used": "8"})
        track.width, track.height, track.pix_fmt = 320, 180, "yuv420p"
        track.codec_context.time_base = track.time_base = THOUSANDTH
        for time, picture in zip(times, moving(len(times), 320, 180), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, THOUSANDTH
            target.mux(track.encode(frame))
        target.mux(track.encode(None))
    return path


@pytest.mark.parametrize(("times", "low", "high"), [
    ([33 * i + i // 3 for i in range(12)], 29, 31), ([i * 100 for i in range(12)], 9, 11),
    ([0, 16, 33, 50, 66, 83, 100, 3000, 3016, 3033, 3050], 55, 65),
])  # fmt: skip
def test_a_browsers_thousand_is_not_believed(tmp_path, times, low, high):
    clip, out = open_clip(browser_film(tmp_path / "a.webm", times)), tmp_path / "out.mp4"
    assert low < clip.rate < high
    assert low < encoding_of(clip, out, WriteSettings()).rate < high
    encode(clip, ((frame.index, frame.native) for frame in frames(clip)), out, WriteSettings(), {})
    made = open_clip(out)
    assert [round(made.seconds(i) * 1000) for i in range(len(made))] == times
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.extradata[3] <= 31  # the level, ten times: 6.1 says no phone


@given(st.sampled_from([24, 25, 30, 50, 60, Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]),
       st.integers(2, 300), st.sampled_from([1000, 12800, 90000]), st.integers(0, 10**9))  # fmt: skip
def test_a_header_that_agrees_is_kept_to_the_bit(rate, count, unit, first):
    times = np.array([first + round(i * unit / Fraction(rate)) for i in range(count)], np.int64)
    assert borne_out(Fraction(rate), times, Fraction(1, unit)) == rate


@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=50), st.fractions(Fraction(1, 3600), 1000))
def test_whatever_the_times_the_rate_is_one(steps, claimed):
    rate = borne_out(claimed, np.cumsum([0, *steps]), Fraction(1, 90_000))
    assert 0 < rate <= 1000
    assert rate == claimed or rate.denominator <= 1001
