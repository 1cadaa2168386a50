"""The journey with what comes: several roles and engines in one pass, whole shots, other shapes, other machines."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from footage import make_clip, moving
from rendered import SOMEONE, Echo, track_of, write_plan

from vidswap import EngineChoice, Role, Settings, render, shares, swap_clip
from vidswap.errors import ConsentError, EngineError, UsageError
from vidswap.plan.file import open_plan
from vidswap.plan.store import facts_of
from vidswap.read.clip import frames, open_clip
from vidswap.settings import ReadSettings, WriteSettings
from vidswap.swap.engine import Advance, Needs
from vidswap.types import Consent, Crops, Identity, Shot, Swapped, TrackPart

LOSSLESS = WriteSettings(lossless=True, preset="ultrafast", segment=10)
COUNT = 40


class Colour:
    """An engine that paints the face, in windows of its own."""

    exact = True

    def __init__(self, rgb: tuple[int, int, int], window: int, *, uploads: bool = False) -> None:
        self.rgb, self.key, self.needs = rgb, str(rgb), Needs(16, "aligned", window, window // 3, uploads)

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        return Swapped(crops, np.full_like(crops.rgb, self.rgb), (crops.mask > 0.5).astype(np.float32))


def placed(number: int, x: int, start: int = 0, stop: int = COUNT, grow: float = 1.0) -> TrackPart:
    """A face with its middle at x in a picture of 96 x 64."""
    part = track_of(number, start, stop, 64)
    mesh = part.mesh.copy()
    middle = mesh[..., :2].mean((0, 1))
    mesh[..., :2] = (mesh[..., :2] - middle) * grow + [x, 32]
    back = part.visible_to_frame.copy()
    back[:] = [[12, 0, 0], [0, 8, 0]]
    return TrackPart(number, number, start, mesh, part.seen, part.embedding, part.visible, back)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("seams") / "clip.mp4", moving(COUNT, 96, 64))


def planned(clip: Path, folder: Path, tracks: Sequence[TrackPart], cuts: Sequence[int] = ()) -> Path:
    known, edges = open_clip(clip), [0, *cuts, COUNT]
    shots = [Shot(*pair) for pair in pairwise(edges)]
    write_plan(folder / "clip.plan", facts_of(known, "embedded"), Shot(0, COUNT), shots, tracks)
    return folder / "clip.plan"


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.rgb for frame in frames(open_clip(path))]


def hue(picture: np.ndarray, x: int) -> int:
    """Which of red, green and blue is seen there."""
    return int(picture[32, x].argmax())


def test_each_person_has_their_own_engine_in_one_pass(clip: Path, tmp_path: Path) -> None:
    plan = planned(clip, tmp_path, [placed(0, 16), placed(1, 48), placed(2, 80)])
    engines = {"red": Colour((255, 0, 0), 7), "green": Colour((0, 255, 0), 16)}
    opened = []

    def load(choice: EngineChoice, cache: Path | None) -> object:
        opened.append(choice.name)
        return nullcontext(engines[choice.name])

    cast = {"all": Role(SOMEONE, engine=EngineChoice("red")), 1: Role(SOMEONE, engine=EngineChoice("green")), 2: None}
    done = swap_clip(clip, cast, tmp_path / "out.mp4", Settings(ReadSettings(plan=plan), write=LOSSLESS), load=load)
    assert sorted(opened) == ["green", "red"]
    assert done.persons == (0, 1)
    for before, after in zip(pictures(clip), pictures(tmp_path / "out.mp4"), strict=True):
        assert (hue(after, 16), hue(after, 48)) == (0, 1)
        assert np.abs(after[:, 70:].astype(int) - before[:, 70:]).max() <= 2, "who is skipped stays"


def test_the_nearer_face_lies_over_the_farther(clip: Path, tmp_path: Path) -> None:
    """Whatever their numbers: the larger one is nearer."""
    for near in (0, 1):
        tracks = [placed(number, 48, grow=1.0 if number == near else 0.6) for number in range(2)]
        folder = tmp_path / str(near)
        folder.mkdir()
        plan = planned(clip, folder, tracks)
        cast = {number: Role(SOMEONE, engine=EngineChoice(str(number))) for number in range(2)}
        colours = {str(near): Colour((255, 0, 0), 8), str(1 - near): Colour((0, 255, 0), 8)}
        swap_clip(clip, cast, folder / "out.mp4", Settings(ReadSettings(plan=plan), write=LOSSLESS),
                  load=lambda choice, _, colours=colours: nullcontext(colours[choice.name]))  # fmt: skip
        assert {hue(picture, 48) for picture in pictures(folder / "out.mp4")} == {0}


def test_nobodys_face_leaves_the_machine_unasked(clip: Path, tmp_path: Path) -> None:
    agreed = Identity(SOMEONE.photos, SOMEONE.meshes, SOMEONE.embedding, Consent("Ada", ("swap",), record="a.toml"))
    cast = {0: Role(SOMEONE, engine=EngineChoice("far")), 1: Role(agreed, engine=EngineChoice("far"))}
    with pytest.raises(ConsentError, match="Ada agreed to: swap"):
        swap_clip(clip, cast, tmp_path / "out.mp4",
                  load=lambda *_: nullcontext(Colour((1, 2, 3), 4, uploads=True)))  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_the_result_may_have_another_shape(clip: Path, tmp_path: Path) -> None:
    """The camera goes to who is played; times, sound and the part of the picture stay."""
    plan = planned(clip, tmp_path, [placed(0, 80)])
    settings = Settings(
        ReadSettings(plan=plan), write=WriteSettings(shape="36x64", lossless=True, sheet=tmp_path / "s.png")
    )
    done = swap_clip(
        clip, Role(SOMEONE), tmp_path / "out.mp4", settings, load=lambda *_: nullcontext(Colour((255, 0, 0), 8))
    )
    before, after = open_clip(clip), open_clip(tmp_path / "out.mp4")
    assert (after.width, after.height, len(after)) == (36, 64, COUNT)
    assert (after.pts * after.time_base == before.pts * before.time_base).all()
    assert done.swapped == COUNT
    assert all((picture[32].argmax(-1) == 0).any() for picture in pictures(tmp_path / "out.mp4")), "the face is in view"
    assert (tmp_path / "s.png").stat().st_size


def test_a_part_on_another_machine_is_that_part_of_the_whole(clip: Path, tmp_path: Path) -> None:
    """A process that has no face model gets a plan, an identity and an engine, and renders its share."""
    tracks = [placed(0, 30, 0, 14), placed(1, 60, 14, 31), placed(0, 40, 31, COUNT)]
    tracks[2] = TrackPart(2, 0, *(getattr(tracks[2], name) for name in (
        "start", "mesh", "seen", "embedding", "visible", "visible_to_frame")))  # fmt: skip
    plan, cast = planned(clip, tmp_path, tracks, (14, 31)), {"all": Role(SOMEONE)}
    whole = Settings(write=LOSSLESS)
    render(clip, plan, cast, tmp_path / "whole.mkv", whole, load=lambda *_: nullcontext(Echo(7, 3)))
    parts = []
    for number, (start, end) in enumerate(shares(plan, 3)):
        sent = pickle.dumps(
            (clip, plan, cast, tmp_path / f"{number}.mkv", Settings(ReadSettings(start, end), write=LOSSLESS))
        )
        program = (
            "import pickle, sys; from contextlib import nullcontext\n"
            "from rendered import Echo; from vidswap import render\n"
            "import vidswap.pipeline as p; p.open_faces = None\n"
            "render(*pickle.load(sys.stdin.buffer), load=lambda *_: nullcontext(Echo(7, 3)))\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], input=sent, check=True, cwd=Path(__file__).parent)
        parts += pictures(tmp_path / f"{number}.mkv")
    assert [shot for shot, _ in shares(plan, 1)] == [start for start, _ in shares(plan, 3)][:1]
    np.testing.assert_array_equal(np.stack(parts), np.stack(pictures(tmp_path / "whole.mkv")))


@pytest.mark.parametrize("who", [0, 1, "largest"])
def test_roles_of_a_share_are_those_of_the_whole(clip: Path, tmp_path: Path, who: int | str) -> None:
    """Who is played may be in other shares alone, and the largest of all is not that of each."""
    plan = planned(clip, tmp_path, [placed(0, 30, 0, 14), placed(1, 60, 14, COUNT)], (14, 30))
    cast, found = {who: Role(SOMEONE)}, []
    for number, (start, end) in enumerate([(None, None), *shares(plan, 3)]):
        settings = Settings(ReadSettings(start, end), write=replace(LOSSLESS, sheet=tmp_path / f"{number}.png"))
        out = tmp_path / f"{number}.mkv"
        found.append(render(clip, plan, cast, out, settings, load=lambda *_: nullcontext(Echo(7, 3))))
    whole, *parts = found
    assert [each.persons for each in parts] == ([(0,), (), ()] if who == 0 else [(), (1,), (1,)])
    assert whole.swapped == sum(each.swapped for each in parts) == (14 if who == 0 else 26)


def test_what_is_handed_to_another_process_can_be_sent(clip: Path, tmp_path: Path) -> None:
    plan = planned(clip, tmp_path, [placed(0, 30)])
    with open_plan(plan) as known:
        there = pickle.loads(pickle.dumps((open_clip(clip), known, EngineChoice("warp"), Role(SOMEONE), Settings())))
        assert len(there[0]) == COUNT
        assert there[1].tracks[0].part(3, 9).mesh.shape == (6, 478, 3)


def test_a_photo_is_no_identity(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a photo"):
        render(clip, tmp_path / "clip.plan", Role("me.jpg", "self"), tmp_path / "out.mp4")
    for count in (0, "2", 1.0, True):
        with pytest.raises(UsageError, match="count is"):
            shares(tmp_path / "clip.plan", count)


def test_what_is_wrong_with_a_cast_or_a_load_is_one_line(clip: Path, tmp_path: Path) -> None:
    me, plan = Role(SOMEONE), planned(clip, tmp_path, [placed(0, 30)])

    @contextmanager
    def failing(entered: bool) -> Iterator[object]:
        if not entered:
            raise RuntimeError("no such device")
        yield Echo(7, 3)
        raise RuntimeError("will not end")

    def played(role: Role = me, load: object = lambda *_: nullcontext(Echo(7, 3))) -> None:
        settings = Settings(ReadSettings(plan=plan), write=LOSSLESS)
        swap_clip(clip, role, tmp_path / "out.mkv", settings, load=load)  # type: ignore[arg-type]

    for load, said in ((None, "load is None"), (lambda *_: Echo(7, 3), "load gave .* as the engine embedded")):
        with pytest.raises(UsageError, match=said):
            played(load=load)
    for load, said in (
        (lambda: None, "its start: TypeError"), (lambda *_: failing(False), "its start: no such device"),
        (lambda *_: failing(True), "its end: will not end"),
    ):  # fmt: skip
        with pytest.raises(EngineError, match=f"the engine embedded failed at {said}"):
            played(load=load)
    for engine in ("warp", EngineChoice("warp", (1,)), EngineChoice("warp", (("x", {}),))):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"engine is 'warp'|`swap.options`"):
            played(Role(SOMEONE, engine=engine))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="consent is 5"):
        played(Role("me.jpg", 5))  # type: ignore[arg-type]
    with pytest.raises(ConsentError, match="cannot read"):
        played(Role("me.jpg", ""))
    assert {path.name for path in tmp_path.iterdir()} == {"clip.plan", "out.mkv"}
