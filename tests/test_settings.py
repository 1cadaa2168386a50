"""What settings take, of programs and of people, and what they say of what cannot be."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vidswap import evaluate_clip, load_consent, load_engine, load_identity, open_faces, pipeline
from vidswap.casting import Role
from vidswap.cli import main as cli
from vidswap.cli.words import in_flags
from vidswap.errors import ConsentError, InputError, UsageError, quoted
from vidswap.settings import SECTIONS, ReadSettings, Settings, SwapSettings, WriteSettings, setting
from vidswap.timepoint import TimePoint

HUGE = "9" * 5000  # Python neither reads nor writes so many digits


@pytest.mark.parametrize(("given_", "kept"), [
    ("1:02.5", TimePoint(Fraction(125, 2))), (3, TimePoint(Fraction(3))), (0.1, TimePoint(Fraction(1, 10))),
    (Fraction(1, 3), TimePoint(Fraction(1, 3))), ("12f", TimePoint(Fraction(12), in_frames=True)),
    (np.float64(2.5), TimePoint(Fraction(5, 2))), (np.int32(2), TimePoint(Fraction(2))), (None, None),
])  # fmt: skip
def test_times_are_taken_as_numbers_and_as_words(given_, kept):
    assert ReadSettings(start=given_).start == kept
    assert ReadSettings(end=given_ or 99).end == (kept or TimePoint(Fraction(99)))


@given(st.integers(0, 10**9), st.integers(0, 6))
def test_a_float_is_the_decimal_that_it_prints_as(digits, places):
    value = digits / 10**places
    assert ReadSettings(start=value).start == ReadSettings(start=f"{value:.{places}f}").start


@pytest.mark.parametrize(("given_", "kept"), [
    (24, Fraction(24)), (23.976, Fraction(2997, 125)), ("24000/1001", Fraction(24000, 1001)), ("25", Fraction(25)),
    (Fraction(30000, 1001), Fraction(30000, 1001)), ("0.01", Fraction(1, 100)),
])  # fmt: skip
def test_rates_are_taken_as_numbers_and_as_words(given_, kept):
    assert ReadSettings(rate=given_).rate == kept


def test_paths_are_taken_as_strings():
    assert ReadSettings(cache="kept", plan=Path("a.plan"), face_pack=Path("pack")) == ReadSettings(
        cache=Path("kept"), plan="a.plan", face_pack="pack"
    )
    assert WriteSettings(sheet="a.png").sheet == Path("a.png")
    assert ReadSettings(person=2).person == "2"


@pytest.mark.parametrize(("kind", "name", "value"), [
    *((ReadSettings, "rate", value) for value in ("1e400", "nan", "inf", "0", "-1", "1/0", "1e9999999999", HUGE, "", 0,
                                                  10**400, float("nan"), float("inf"), True, None, b"25", [25])),
    *((ReadSettings, name, value) for name in ("start", "end")
      for value in (-1, -0.5, float("nan"), float("inf"), 10**30, 10**400, HUGE, True, b"3", [3], "soon", "1e3")),
    *((ReadSettings, "person", value) for value in ("", "²", "mother", HUGE, -1, 1.5, True, None)),
    *((SwapSettings, "engine", value) for value in (None, 3, b"warp")),
    *((SwapSettings, "options", value) for value in (3, "steps", {1: 2}, {"steps": {"a": 2}}, [("steps",)], None)),
    *((WriteSettings, "crf", value) for value in (-1, 64, HUGE, "good", True)),
    *((WriteSettings, name, value) for name in ("codec", "preset") for value in ("", "x" * 5000, ["h264"], 5)),
    *((WriteSettings, "sheet", value) for value in ("", "a\0b", 3, b"a.png")),
    *((WriteSettings, name, "no") for name in ("lossless", "resume")),
    *((WriteSettings, "segment", value) for value in (0, 10**6)),
    *((Settings, name, "x") for name in SECTIONS),
], ids=quoted)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_name_in_one_line(kind, name, value):
    with pytest.raises(UsageError) as caught:
        kind(**{name: value})
    section = "settings" if kind is Settings else next(key for key, each in SECTIONS.items() if each is kind)
    assert caught.value.message.startswith(f"`{section}.{name}`")
    assert caught.value.hint
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@given(st.text() | st.floats() | st.integers() | st.none() | st.binary() | st.fractions() | st.booleans())
@example("1/3")
def test_any_value_is_taken_or_refused(value):
    for kind in SECTIONS.values():
        for each in vars(kind):
            if isinstance(vars(kind)[each], type(setting("read.rate"))):
                try:
                    kept = getattr(kind(**{each: value}), each)
                    assert getattr(kind(**{each: kept}), each) == kept, "what was kept is taken again"
                except UsageError:
                    pass


@pytest.mark.parametrize("words", [
    ["--rate", "1e400"], ["--rate", "nan"], ["--rate", "1/0"], ["--rate", "0"], ["--rate", "-1"], ["--rate", HUGE],
    ["--start", "1" + "0" * 30], ["--end", HUGE], ["--set", "none.toml"], ["--crf", "1e400"], ["--crf", HUGE],
    ["--person", "²"], ["--person", HUGE],
], ids=quoted)  # fmt: skip
def test_the_command_says_the_flag_and_leaves_nothing(capsys, tmp_path, words):
    picture = tmp_path / "in"
    picture.mkdir()
    line = ["swap", str(picture), "--face", "a.jpg", "--consent", "self", "-o", str(tmp_path / "out.mp4"), *words]
    assert cli.main(line) == UsageError.code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"vidswap: {words[0]}")
    assert said.err.count("\n") == 1
    assert len(said.err) < 300
    assert list(tmp_path.iterdir()) == [picture]


@pytest.mark.parametrize("height", [HUGE, "²²²", "1e3", "-480"], ids=quoted)
def test_heights_that_cannot_be(capsys, height):
    assert cli.main(["bench", "a.mp4", "--heights", height]) == UsageError.code
    assert "--heights" in capsys.readouterr().err


def test_the_library_names_settings_and_the_command_flags():
    assert in_flags("`read.face_pack` is 3") == "--face-pack is 3"
    assert in_flags("start over: `write.resume=False`") == "start over: --no-resume"
    assert in_flags("see `vidswap cast`, and `os.path`") == "see `vidswap cast`, and `os.path`"
    with pytest.raises(KeyError):
        setting("read.nothing")


def test_functions_take_strings_and_refuse_what_is_no_path(tmp_path):
    missing, out = str(tmp_path / "none.mp4"), str(tmp_path / "out.mp4")
    calls = (
        lambda clip: pipeline.swap_clip(clip, Role("me.jpg", "self"), out),
        lambda clip: pipeline.cast_clip(clip, out),
        lambda clip: pipeline.plan_clip(clip, out),
        lambda clip: evaluate_clip(clip, out, "me.jpg"),
    )
    for call in calls:
        with pytest.raises(InputError, match=r"none\.mp4"):
            call(missing)
        for wrong in (3, None, b"a.mp4", "", "a\0.mp4"):
            with pytest.raises(UsageError, match="source"):
                call(wrong)
    assert not list(tmp_path.iterdir())


def test_functions_say_which_argument_cannot_be(tmp_path):
    """In words, before anything is read: "none.mp4" is not there, and not spoken of."""
    calls = (
        lambda **more: pipeline.swap_clip("none.mp4", Role("me.jpg", "self"), "out.mp4", **more),
        lambda **more: pipeline.cast_clip("none.mp4", "out.png", **more),
        lambda **more: pipeline.plan_clip("none.mp4", "out.plan", **more),
        lambda **more: evaluate_clip("none.mp4", "out.mp4", "me.jpg", **more),
    )
    for call in calls:
        for wrong in (None, {}, "warp", Settings, ReadSettings()):
            with pytest.raises(UsageError, match="settings is"):
                call(settings=wrong)
        with pytest.raises(UsageError, match="report is None"):
            call(report=None)
    with pytest.raises(UsageError, match="choice is 'warp'"):
        load_engine("warp")
    for wrong in (None, 3, b"yes.toml"):
        with pytest.raises(ConsentError, match="is no consent record"):
            load_consent(wrong)
        with pytest.raises(UsageError, match="pack is"):
            open_faces(wrong)
    with pytest.raises(UsageError, match="consent is 'self'"):
        load_identity("me.jpg", "self", None)


def test_settings_reach_another_process_as_they_are():
    """bench hands them to processes of its own."""
    import pickle

    read, swap = ReadSettings("1", 2.5, "all", rate="24000/1001"), SwapSettings("warp", {"a": 3})
    chosen = Settings(read, swap, WriteSettings(crf=20))
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_every_option_of_a_command_says_its_default():
    words = [sys.executable, "-m", "vidswap", "swap", "--help"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    options = " ".join(said.split()).split(" options: ")[1]
    for name, kept in {"rate": 25, "person": "largest", "face-pack": "embedded", "engine": "embedded",
                       "preset": "medium", "sheet": "none", "plan": "none"}.items():  # fmt: skip
        about = options.split(f" --{name} ", 1)[1].split(" --", 1)[0]
        assert f"default: {kept}" in about, name
