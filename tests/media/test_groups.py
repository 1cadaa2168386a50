"""Groups of a film go into another one as they are where they stand for themselves, and only there."""

from pathlib import Path

import numpy as np
import pytest
from footage import make_clip, moving

from vidswap.errors import InputError
from vidswap.media.encoder import encoding_of
from vidswap.media.groups import Group, groups
from vidswap.read.clip import frames, open_clip
from vidswap.settings import WriteSettings
from vidswap.types import Clip, Shot
from vidswap.write.film import Finished, encode, join, write_segments
from vidswap.write.work import WorkFolder, open_work

COUNT, LENGTH = 40, 10
KINDS = [("mp4", "h264"), ("mkv", "h264"), ("ts", "h264"), ("mkv", "hevc"), ("mp4", "hevc"), ("webm", "vp9"),
         ("mov", "prores"), ("mkv", "ffv1"), ("mp4", "mpeg4")]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    pictures = [*moving(COUNT // 2), *moving(COUNT // 2, seed=1)]
    return open_clip(make_clip(tmp_path_factory.mktemp("groups") / "clip.mkv", pictures, sound=False))


def settings(codec: str, **more: object) -> WriteSettings:
    return WriteSettings(codec=codec, segment=LENGTH, **more)  # type: ignore[arg-type]


def film(source: Clip, out: Path, written: WriteSettings) -> Clip:
    encode(source, ((frame.index, frame.native) for frame in frames(source)), out, written, {})
    return open_clip(out)


def pictures(clip: Clip) -> np.ndarray:
    return np.stack([frame.rgb for frame in frames(clip)])


@pytest.mark.parametrize(("ending", "codec"), KINDS)
def test_what_was_written_goes_into_another_film_as_it_is(
    source: Clip, tmp_path: Path, ending: str, codec: str
) -> None:
    """All but the frames from 10 to 20, which are turned upside down."""
    earlier = film(source, tmp_path / f"earlier.{ending}", settings(codec))
    out, written = tmp_path / f"out.{ending}", settings(codec)
    encoding = encoding_of(source, out, written)
    found = [*groups(earlier, encoding)]
    assert [group.start for group in found] + [COUNT] == [0, *(group.stop for group in found)]
    assert {0, LENGTH, 2 * LENGTH, 3 * LENGTH} <= {group.start for group in found}

    again = iter([group for group in found if not LENGTH <= group.start < 2 * LENGTH])

    def finished() -> object:
        for frame in frames(source):
            turned = LENGTH <= frame.index < 2 * LENGTH
            if turned:
                native = type(frame.native).from_ndarray(frame.rgb[::-1].copy()).reformat(format=encoding.format)
            else:
                native = next(again) if frame.index in {group.start for group in found} else None
            yield Finished(frame.index, native)

    with open_work(out, kept=False) as folder:
        runs = (Shot(0, LENGTH), Shot(2 * LENGTH, COUNT))
        work = WorkFolder(folder, "", 0, LENGTH, runs=runs)
        write_segments(source, finished(), work, out, encoding)
        assert [(each.start, each.stop) for each in work.segments] == [(0, 10), (10, 20), (20, 40)]
        join(source, work, out, encoding, {})
    now = open_clip(out)
    assert now.pts.tolist() == earlier.pts.tolist()
    same = (pictures(now) == pictures(earlier)).all((1, 2, 3))
    assert same.tolist() == [not LENGTH <= index < 2 * LENGTH for index in range(COUNT)]


@pytest.mark.parametrize(("was", "now"), [
    (("a.mp4", settings("h264")), ("b.mp4", settings("hevc"))),
    (("a.mp4", settings("h264", preset="ultrafast")), ("b.mp4", settings("h264"))),
    (("a.mp4", settings("h264")), ("b.ts", settings("h264"))),  # whose parameters lie in the pictures
    (("a.mov", settings("prores")), ("b.mov", settings("h264"))),
    (("a.avi", settings("mpeg4")), ("b.avi", settings("mpeg4"))),
])
def test_what_is_of_another_kind_does_not(
    source: Clip, tmp_path: Path, was: tuple[str, WriteSettings], now: tuple[str, WriteSettings]
) -> None:
    earlier = film(source, tmp_path / was[0], was[1])
    assert [*groups(earlier, encoding_of(source, tmp_path / now[0], now[1]))] == []


def test_groups_that_lean_on_others_are_none(source: Clip, tmp_path: Path) -> None:
    """Pictures that are shown before the key picture of an open group need those of the group before it."""
    wanted = encoding_of(source, tmp_path / "out.mp4", WriteSettings(codec="h264"))
    words = f"{wanted.options['x264-params']}:open-gop=1:keyint=8:min-keyint=4:scenecut=0".lstrip(":")

    def started(parameters: str) -> list[int]:
        options = {**wanted.options, "x264-params": parameters}
        path = make_clip(tmp_path / "film.mp4", moving(COUNT), sound=False, unit=source.time_base, options=options)
        return [group.start for group in groups(open_clip(path), wanted)]

    assert started(words) == [0]
    assert started(words.replace("open-gop=1", "open-gop=0")) == [0, 8, 16, 24, 32]


def test_what_is_damaged_is_no_group(source: Clip, tmp_path: Path) -> None:
    chance, path = np.random.default_rng(0), tmp_path / "a.mp4"
    encoding = encoding_of(source, tmp_path / "out.mp4", settings("h264"))
    content = film(source, path, settings("h264")).path.read_bytes()
    for _ in range(60):
        harmed = np.frombuffer(content, np.uint8).copy()
        harmed[chance.integers(0, len(harmed), 20)] = chance.integers(0, 256, 20)
        path.write_bytes(harmed[: chance.integers(len(harmed) // 2, len(harmed))].tobytes())
        try:
            clip = open_clip(path)
            found = [*groups(clip, encoding)]
        except InputError:
            continue
        assert all(isinstance(group, Group) and 0 <= group.start < group.stop <= len(clip) for group in found)
