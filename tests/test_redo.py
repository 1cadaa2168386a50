"""Only the shots that fell short are swapped anew; all else is as the earlier result has it."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import make_clip, moving, packets_of
from PIL import Image
from rendered import SOMEONE, Echo, track_of, write_plan

from vidswap.casting import Role
from vidswap.cli import main as command
from vidswap.errors import EngineError, InputError, OutputError, UsageError, VidswapError
from vidswap.kept import PIECES, Kept, joined
from vidswap.pipeline import Result, swap_clip
from vidswap.plan.store import facts_of, source_of
from vidswap.read.clip import frames, open_clip
from vidswap.redo import JudgedFile, JudgedShot, Judgement, read_report
from vidswap.settings import ReadSettings, Settings, SwapSettings, WriteSettings
from vidswap.swap.engine import Advance, Engine
from vidswap.swap.windows import Casting
from vidswap.types import Crops, EngineChoice, Identity, Shot, Swapped, Track

SHOTS = (Shot(0, 20), Shot(20, 50), Shot(50, 70), Shot(70, 90))
COUNT, LENGTH = 90, 16


class Grey:
    """An engine that paints everybody in one grey, and stops at a frame."""

    exact = True

    def __init__(self, level: int, stop: int = COUNT) -> None:
        self.needs, self.level, self.stop, self.key = Echo(7, 3).needs, level, stop, f"grey {level}"

    def swap(self, crops: Crops, identity: Identity, before: Swapped | None, progress: Advance) -> Swapped:
        if crops.start + len(crops) > self.stop:
            raise EngineError("it is tired", "let it rest")
        return Swapped(crops, np.full_like(crops.rgb, self.level), crops.mask)


class Home:
    """A clip of four shots with a face in each but the last, the result of an earlier swap, and a report of it."""

    def __init__(self, folder: Path, codec: str = "h264", ending: str = ".mp4") -> None:
        pictures = [picture for seed, shot in enumerate(SHOTS) for picture in moving(len(shot), seed=seed)]
        self.clip = make_clip(folder / "clip.mp4", pictures)
        self.folder, self.plan, self.codec, self.ending = folder, folder / "clip.plan", codec, ending
        tracks = [track_of(number, shot.start, shot.stop) for number, shot in enumerate(SHOTS[:3])]
        clip = open_clip(self.clip)
        write_plan(self.plan, facts_of(clip, "embedded"), Shot(0, COUNT), SHOTS, tracks)
        self.earlier = folder / f"earlier{ending}"
        self.swap(self.earlier, Grey(60))
        self.report = self.write()

    def swap(self, out: Path, engine: Engine, *, read: dict[str, Any] | None = None, **swap: Any) -> Result:
        lossy = {"preset": "veryfast", "crf": 8} if self.codec == "h264" else {}
        write = WriteSettings(codec=self.codec, segment=LENGTH, **lossy)
        settings = Settings(ReadSettings(plan=self.plan, **(read or {})), SwapSettings(**swap), write)
        return swap_clip(self.clip, {"all": Role(SOMEONE)}, out, settings, load=lambda *_: nullcontext(engine))

    def judged(self, short: tuple[int, ...] = (1,)) -> dict[str, Any]:
        """What a report says where these shots fell short."""
        shots = [JudgedShot(number, (shot.start, shot.stop), ["person 0: too grey"] * (number in short))
                 for number, shot in enumerate(SHOTS)]  # fmt: skip
        files = (JudgedFile(str(path), source_of(open_clip(path))) for path in (self.clip, self.earlier))
        return json.loads(json.dumps(asdict(Judgement(*files, (0, COUNT), shots))))

    def write(self, said: object = None) -> Path:
        path = self.folder / "report.json"
        path.write_text(said if isinstance(said, str) else json.dumps(said or self.judged()))
        return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("redo"))


@pytest.fixture(autouse=True)
def untouched(request: pytest.FixtureRequest) -> Any:
    """Whatever a test does, the earlier result stays as it was, and the report is written anew."""
    if "home" not in request.fixturenames:
        yield
        return
    home = request.getfixturevalue("home")
    before = home.earlier.read_bytes()
    yield
    assert home.earlier.read_bytes() == before
    home.write()


def pictures(path: Path) -> np.ndarray:
    return np.stack([frame.rgb for frame in frames(open_clip(path))]).astype(np.float32)


def loss(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR, dB."""
    return float(10 * np.log10(255**2 / max(((one - other) ** 2).mean(), 1e-9)))


def test_only_the_shot_that_fell_short_is_made_anew(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = home.swap(out, Grey(200), redo=home.report)
    assert (done.frames, done.swapped, done.kept) == (COUNT, 30, 60)
    whole = tmp_path / "whole.mp4"
    home.swap(whole, Grey(200))
    earlier, now, anew = (pictures(path) for path in (home.earlier, out, whole))
    assert loss(now[20:50], anew[20:50]) > 45
    assert loss(now[20:50], earlier[20:50]) < 25
    for shot in (SHOTS[0], SHOTS[2], SHOTS[3]):
        assert loss(now[shot.start : shot.stop], earlier[shot.start : shot.stop]) > 45
    copied = [*range(LENGTH), *range(4 * LENGTH, COUNT)]  # as they are coded, from one key picture to the next
    assert (now[copied] == earlier[copied]).all()
    assert packets_of(out) == packets_of(home.earlier)
    assert open_clip(out).pts.tolist() == open_clip(home.earlier).pts.tolist()


def test_without_loss_what_is_kept_is_kept_to_the_bit(tmp_path: Path) -> None:
    home, out = Home(tmp_path, "ffv1", ".mkv"), tmp_path / "out.mkv"
    home.swap(out, Grey(200), redo=home.report)
    earlier, now = pictures(home.earlier), pictures(out)
    same = (earlier == now).all((1, 2, 3))
    assert same.tolist() == [not 20 <= index < 50 for index in range(COUNT)]


def test_shots_can_be_chosen_and_need_not_have_fallen_short(home: Home, tmp_path: Path) -> None:
    home.write(home.judged(()))
    with pytest.raises(UsageError, match=r"none of the 4 shots fell short.*nothing to do") as caught:
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report)
    assert "`swap.shots`" in caught.value.hint
    done = home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report, shots="2, 0")
    assert (done.swapped, done.kept) == (40, 50)
    with pytest.raises(UsageError, match="no shot 4"):
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report, shots=[1, 4])
    with pytest.raises(UsageError, match=r"`swap\.shots` are those of a report"):
        home.swap(tmp_path / "out.mp4", Grey(200), shots=[1])


def test_the_result_itself_is_replaced_only_when_another_is_whole(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before, whole = home.earlier.read_bytes(), tmp_path / "whole.mp4"
    home.swap(whole, Grey(200), redo=home.report)
    with pytest.raises(EngineError):
        home.swap(home.earlier, Grey(200, stop=40), redo=home.report)
    assert home.earlier.read_bytes() == before
    home.swap(home.earlier, Grey(200), redo=home.report)
    assert home.earlier.read_bytes() == whole.read_bytes() != before
    with pytest.raises(UsageError, match="another one than when it was evaluated"):
        home.swap(home.earlier, Grey(200), redo=home.report)


def test_a_redo_that_was_stopped_goes_on(home: Home, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    home.swap(whole, Grey(200), redo=home.report)
    with pytest.raises(EngineError):
        home.swap(out, Grey(200, stop=45), redo=home.report)
    assert home.swap(out, Grey(200), redo=home.report).resumed >= LENGTH
    assert out.read_bytes() == whole.read_bytes()
    with pytest.raises(EngineError):
        home.swap(out, Grey(200, stop=45), redo=home.report)
    assert home.swap(out, Grey(200), redo=home.report, shots=[0, 1]).resumed == 0, "other shots are another render"


def test_the_result_says_who_made_what_is_kept(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    home.swap(out, Grey(200), redo=home.report)
    said = open_clip(out).tags["comment"]
    assert said.count("AI-generated") == 2
    now, was = re.findall(r"engine: \w+ (\w+)", said)
    assert now != was
    assert open_clip(home.earlier).tags["comment"] == said.partition("kept shots: ")[2]


def test_a_part_that_was_judged_is_the_part_that_is_made(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.swap(home.earlier, Grey(60), read={"start": "20f", "end": "70f"})
    said = home.judged() | {"part": [20, 70]}
    said["shots"] = [{"number": number, "frames": [shot.start, shot.stop], "fell_short": ["x"] * number}
                     for number, shot in enumerate(SHOTS[1:3])]  # fmt: skip
    home.write(said)
    done = home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report)
    assert (done.frames, done.kept) == (50, 30)
    earlier, now = pictures(home.earlier), pictures(tmp_path / "out.mp4")
    assert loss(now[:30], earlier[:30]) > 45
    assert loss(now[30:], earlier[30:]) < 25
    home.clip = make_clip(tmp_path / "short.mp4", moving(8))
    with pytest.raises(UsageError, match=r"report of another clip than .*short\.mp4"):
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report)
    home.clip = tmp_path / "clip.mp4"
    with pytest.raises(UsageError, match="frames 20f to 70f, not of 20f to 60f"):
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report, read={"start": "20f", "end": "60f"})


def test_pictures_in_a_folder_are_kept_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    source, earlier, out = tmp_path / "in", tmp_path / "was", tmp_path / "now"
    source.mkdir()
    for number, picture in enumerate(pictures(home.clip).astype(np.uint8)):
        Image.fromarray(picture).save(source / f"{number:03}.png")
    home.clip, home.earlier, home.codec = source, earlier, None
    write_plan(home.plan, facts_of(open_clip(source), "embedded"), Shot(0, COUNT), SHOTS,
               [track_of(number, shot.start, shot.stop) for number, shot in enumerate(SHOTS)])  # fmt: skip
    settings = Settings(ReadSettings(plan=home.plan))
    cast, load = {"all": Role(SOMEONE)}, lambda level: lambda *_: nullcontext(Grey(level))
    swap_clip(source, cast, earlier, settings, load=load(60))
    home.write()
    again = Settings(settings.read, SwapSettings(redo=home.report))
    swap_clip(source, cast, out, again, load=load(200))
    same = (pictures(earlier) == pictures(out)).all((1, 2, 3))
    assert same.tolist() == [not 20 <= index < 50 for index in range(COUNT)]


# -- what is refused --------------------------------------------------------------------------------------------------


def changed(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said | fields


def other_shot(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said | {"shots": [*said["shots"][:3], said["shots"][3] | fields]}


@pytest.mark.parametrize("harm", [
    lambda said: "", lambda said: "{", lambda said: "[]", lambda said: "null", lambda said: json.dumps(said)[:-9],
    changed(part=[0]), changed(part=[5, 5]), changed(part=[-1, 90]), changed(part=[0, 1 << 70]), changed(part="all"),
    changed(shots=[{"number": 0}]), changed(shots=None), changed(swapped={"path": "", "sha256": ""}),
    changed(swapped={"path": "a\0b", "sha256": ""}), changed(swapped="earlier.mp4"), changed(clip=None),
    other_shot(number=2), other_shot(number=-1), other_shot(number=True), other_shot(frames=[60, 90]),
    other_shot(frames=[70, 91]), other_shot(frames=[90, 70]), other_shot(frames=[70.5, 90]),
    other_shot(fell_short="no"), other_shot(fell_short=[1]),
    lambda said: json.dumps(said).replace('"earlier', '"\\ud800earlier').replace("0, 90", "NaN, 90"),
    lambda said: "[" * 100_000,
])  # fmt: skip
def test_a_damaged_report_is_one_line(home: Home, harm: Callable[[dict[str, Any]], Any]) -> None:
    path = home.write(harm(home.judged()) or "")
    with pytest.raises(InputError, match="is no report, or damaged") as caught:
        read_report(path)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("harm", "said"), [
    (changed(clip={"path": "a.mp4", "sha256": "ab"}), "the report of another clip"),
    (changed(swapped={"path": "gone.mp4", "sha256": "ab"}), "'gone.mp4', which .* is of, is not there"),
    (changed(swapped={"path": "n" * 5000, "sha256": "ab"}), "is not there"),
    (changed(part=[0, 91]), "is of the frames 0f to 91f, not of 0f to 90f"),
])
def test_a_report_of_something_else_is_refused(home: Home, tmp_path: Path, harm: Any, said: str) -> None:
    home.write(harm(home.judged()))
    before = set(home.folder.iterdir())
    with pytest.raises(VidswapError, match=said) as caught:
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report)
    assert caught.value.hint
    assert (set(home.folder.iterdir()), list(tmp_path.iterdir())) == (before, [])


@pytest.mark.parametrize(("pictures", "rate", "said"), [
    (moving(COUNT, 128, 64), 1, "128x64 pixels, not 96x64"), (moving(COUNT - 1), 1, "89 frames, not 90"),
    (moving(COUNT), 2, "its frames at other times than the clip"),
])
def test_a_result_of_another_kind_is_refused(
    home: Home, tmp_path: Path, pictures: list[Any], rate: int, said: str
) -> None:
    other = make_clip(tmp_path / "other.mp4", pictures, [512 * rate * index for index in range(len(pictures))])
    report = home.judged() | {"swapped": {"path": str(other), "sha256": source_of(open_clip(other))}}
    home.write(report)
    with pytest.raises(UsageError, match=said):
        home.swap(tmp_path / "out.mp4", Grey(200), redo=home.report)
    assert [path.name for path in tmp_path.iterdir()] == ["other.mp4"]


def test_neither_report_nor_result_is_written_over(home: Home, tmp_path: Path) -> None:
    report = tmp_path / "report.mp4"
    report.write_bytes(home.report.read_bytes())
    with pytest.raises(OutputError, match="is the report itself"):
        home.swap(report, Grey(200), redo=report)
    write = WriteSettings(sheet=home.earlier.with_suffix(".png"))
    home.earlier.with_suffix(".png").hardlink_to(home.earlier)
    settings = Settings(ReadSettings(plan=home.plan), SwapSettings(redo=home.report), write)
    with pytest.raises(OutputError, match="is the earlier result itself"):
        swap_clip(home.clip, {"all": Role(SOMEONE)}, tmp_path / "out.mp4", settings,
                  load=lambda *_: nullcontext(Grey(200)))  # fmt: skip
    home.earlier.with_suffix(".png").unlink()


def test_a_result_that_moved_with_its_report_is_found(home: Home, tmp_path: Path) -> None:
    (tmp_path / "earlier.mp4").write_bytes(home.earlier.read_bytes())
    said = home.judged()
    said["swapped"]["path"] = "elsewhere/earlier.mp4"
    (tmp_path / "report.json").write_text(json.dumps(said))
    assert home.swap(tmp_path / "out.mp4", Grey(200), redo=tmp_path / "report.json").kept == 60


def test_the_command_takes_a_report(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.write(home.judged(()))
    words = ["swap", str(home.clip), "--face", "me.jpg", "--consent", "self", "-o", str(tmp_path / "out.mp4"), "--redo"]
    assert command.main([*words, str(home.report)]) == UsageError.code
    assert "nothing to do (name those that you want anew all the same: --shots)" in capsys.readouterr().err
    assert command.main([*words, str(home.report), "--shots", "1,x"]) == UsageError.code
    assert "--shots is '1,x'" in capsys.readouterr().err


# -- what is played ---------------------------------------------------------------------------------------------------


def test_a_track_through_dissolves_is_played_in_shots_that_are_made_anew() -> None:
    part = track_of(3, 0, 60)
    whole = Casting(Track(3, 0, 0, 60, part.embedding, part.part, 60.0), SOMEONE, EngineChoice("grey"))
    kept = Kept(Shot(0, 90), (Shot(10, 20), Shot(50, 90)), object(), "")  # type: ignore[arg-type]
    played = [(each.track.id, each.track.start, each.track.stop) for each in kept.castings([whole])]
    assert played == [(3, 10, 20), (3 + PIECES, 50, 60)]
    assert kept.shots == (Shot(0, 10), Shot(20, 50))
    assert Kept(Shot(0, 90), (Shot(0, 90),)).castings([whole]) == [whole]


def test_shots_that_follow_one_another_are_one_in_whatever_order_they_are_told() -> None:
    assert joined([Shot(8, 9), Shot(3, 5), Shot(0, 3), Shot(2, 4)]) == [Shot(0, 5), Shot(8, 9)]
    assert joined([]) == []
