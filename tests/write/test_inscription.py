"""What is written on pictures: where, when, and nothing else touched."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from films import CUES, Film, Text, make_film
from footage import make_clip, moving
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import InputError, UsageError
from vidswap.media.native import planes
from vidswap.media.subtitles import Cue
from vidswap.read.clip import open_clip
from vidswap.settings import TitleSettings
from vidswap.types import Shot
from vidswap.write import inscription
from vidswap.write.inscription import Inscription, inscriber, inscription_of, plain
from vidswap.write.lettering import Page, broken, caption, mark, title

SIZE = 540, 960
SAFE = (0.1, 0.12, 0.2, 0.06)
PAGE = Page(*SIZE, SAFE)


def native(form: str = "yuv420p", level: int = 90) -> Any:
    rgb = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=form)


def changed(one: Any, other: Any) -> np.ndarray:
    """Where the luma of two pictures differs."""
    return np.argwhere(np.abs(planes(one)[0].astype(int) - planes(other)[0].astype(int)) > 0)


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp", "gray"])
def test_words_lie_in_the_safe_area_and_nothing_else_is_touched(form: str) -> None:
    before, after = native(form), native(form)
    told = Inscription(heading="A heading", label="AI-generated", safe=SAFE)
    inscriber(told, SIZE)(after, 0.0)
    places = changed(before, after)
    left, top, right, bottom = PAGE.room
    assert len(places) > 2000
    assert places[:, 0].min() >= top
    assert places[:, 0].max() < bottom
    assert places[:, 1].min() >= left
    assert places[:, 1].max() < right
    bits = before.format.components[0].bits
    assert planes(after)[0].max() >= (225 << (bits - 8)), "letters are white"


def test_words_come_and_go_when_they_should() -> None:
    cues = Cue(Fraction(1), Fraction(2), "one"), Cue(Fraction(5), Fraction(6), "{\\i1}two{\\i0}")
    told = Inscription(cues, "head", "mark")
    write = inscriber(told, SIZE)

    def rows(second: float) -> set[str]:
        picture = native()
        write(picture, second)
        where = {int(place) for place in changed(native(), picture)[:, 0]}
        return {name for name, part in (("mark", range(48, 80)), ("head", range(90, 140)), ("foot", range(860, 912)))
                if where & set(part)}  # fmt: skip

    assert rows(0.5) == {"mark", "head"}
    assert rows(1.0) == {"mark", "head", "foot"}
    assert rows(1.99) == {"mark", "head", "foot"}
    assert rows(2.0) == {"mark", "head"}
    assert rows(4.5) == {"mark"}
    assert rows(5.5) == {"mark", "foot"}


def test_captions_are_drawn_when_they_come_and_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[str]()
    monkeypatch.setattr(inscription, "caption", lambda words, page: drawn.append(words) or caption(words, page))
    cues = [Cue(Fraction(k), Fraction(k + 1), f"words {k}") for k in range(300)]
    write = inscriber(Inscription(tuple(cues)), SIZE)
    assert drawn == []
    for second in (7.0, 7.5, 8.0, 7.9):
        write(native(), second)
    assert drawn == ["words 7", "words 8"]
    late = Cue(Fraction(400), Fraction(401), "\u6f22")
    with pytest.raises(UsageError, match="has no '\u6f22'"):
        inscriber(Inscription((*cues, late)), SIZE)


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_a_mark_stands_in_its_corner(corner: str) -> None:
    made = mark("KI-generiert", PAGE, corner)
    left, top, right, bottom = PAGE.room
    height, width = made.alpha.shape
    assert abs((made.x - left) if corner.endswith("left") else (made.x + width - right)) <= 1
    assert abs((made.y - top) if corner.startswith("top") else (made.y + height - bottom)) <= 1


@given(st.text("abc ÄéЖΩ-.'\n", max_size=90), st.tuples(st.integers(16, 900), st.integers(16, 900)))
def test_any_words_fit_into_any_picture(words: str, size: tuple[int, int]) -> None:
    page = Page(*size, SAFE)
    for made in (caption(words, page), title(words, page)):
        height, width = made.alpha.shape
        assert made.x % 2 == made.y % 2 == 0
        assert 0 <= made.x <= made.x + width <= size[0]
        assert 0 <= made.y <= made.y + height <= size[1]
        assert made.rgb.shape == (height, width, 3)
        assert 0 <= made.alpha.min(initial=0) <= made.alpha.max(initial=0) <= 1


@given(st.lists(st.text("abcd", min_size=1, max_size=8), max_size=14), st.integers(8, 40))
def test_lines_say_all_in_the_fewest_that_fit(words: list[str], room: int) -> None:
    lines = broken(" ".join(words), len, room)
    if len(lines) < 4:
        assert " ".join(lines).split() == words
    assert all(len(line) <= room or " " not in line for line in lines)
    greedy, count = 0, 1
    for word in words:
        greedy, count = (greedy + len(word) + 1, count) if greedy + len(word) <= room else (len(word) + 1, count + 1)
    assert len(lines) <= min(count, 4)


def test_letters_that_the_font_lacks_are_refused() -> None:
    with pytest.raises(UsageError, match="has no '漢'"):
        caption("ok 漢字", PAGE)


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    wrong = tmp_path / "font.ttf"
    wrong.write_bytes(b"no font")
    with pytest.raises(InputError, match="is no font"):
        caption("ok", Page(*SIZE, SAFE, wrong))


def test_captions_are_timed_as_the_clip_is(tmp_path: Path) -> None:
    clip = open_clip(make_clip(tmp_path / "clip.mp4", moving(50, 96, 64)))
    file = tmp_path / "words.srt"
    file.write_text("1\n00:00:00,200 --> 00:00:00,600\nearly\n\n2\n00:00:01,000 --> 00:00:01,500\n<i>late</i>\n")
    told = inscription_of(clip, Shot(10, 50), TitleSettings(captions=file))
    assert told is not None
    assert [(cue.start, cue.end, plain(cue.text)) for cue in told.cues] == [
        (Fraction(0), Fraction(1, 5), "early"), (Fraction(3, 5), Fraction(11, 10), "late"),
    ]  # fmt: skip


def test_a_clips_own_subtitles_can_be_burnt_in(tmp_path: Path) -> None:
    clip = open_clip(make_film(tmp_path / "clip.mkv", Film(texts=(Text("subrip"),))))
    told = inscription_of(clip, Shot(0, len(clip)), TitleSettings(captions="own"))
    assert told is not None
    assert [plain(cue.text) for cue in told.cues] == [words for *_, words in CUES]
    bare = open_clip(make_clip(tmp_path / "bare.mp4", moving(5, 96, 64)))
    with pytest.raises(UsageError, match="has no subtitles of text"):
        inscription_of(bare, Shot(0, 5), TitleSettings(captions="own"))


@pytest.mark.parametrize("content", [b"", b"\x00" * 99, b"1\n", b"RIFF1234WAVE"])
def test_what_are_no_captions_is_told(tmp_path: Path, content: bytes) -> None:
    clip = open_clip(make_clip(tmp_path / "clip.mp4", moving(5, 96, 64)))
    file = tmp_path / "words.srt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"no file of captions|has no captions"):
        inscription_of(clip, Shot(0, 5), TitleSettings(captions=file))
    with pytest.raises(InputError):
        inscription_of(clip, Shot(0, 5), TitleSettings(captions=tmp_path / "none.srt"))
