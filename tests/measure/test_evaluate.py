"""An evaluation sees what was done to a clip: a drawn face that moves, spoilt in one way at a time."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.errors import IdentityError, InputError, NoFaceError, OutputError
from vidswap.face.geometry import bounds, posed
from vidswap.face.landmarks import EYE_CORNERS, IRISES, LID_MIDDLES, mean_face
from vidswap.keys import digest_of
from vidswap.measure import compare, measures
from vidswap.measure.align import compare_sound
from vidswap.measure.compare import Evaluation, evaluate
from vidswap.measure.evaluate import evaluate_clip
from vidswap.measure.instant import Instant
from vidswap.measure.measures import Figure, Measure, expression_error, gaze, openings, pose_angle
from vidswap.measure.page import graph, page, write_page
from vidswap.measure.pixels import BEST_DB, band_energies, face_area, flicker, psnr, seam, sharpness
from vidswap.measure.portrayal import LOST, REST, WORST, Portrayal, Value, _worst, all_figures
from vidswap.media.sound import sounds
from vidswap.read.clip import frames, open_clip
from vidswap.redo import read_report
from vidswap.settings import ReadSettings, WriteSettings
from vidswap.types import Clip, Face, Shot
from vidswap.write.film import encode

MEAN = mean_face()
WIDTH, HEIGHT, COUNT, SCALE = 192, 160, 16, 34.0
TEXTURE = cv2.GaussianBlur(
    np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 1.2
)
Change = Callable[[int, np.ndarray, np.ndarray], np.ndarray]  # frame's index, picture, area of the face


def turn(yaw: float) -> np.ndarray:
    a = np.radians(yaw)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


def mesh_at(index: int, yaw: float = 0.0) -> np.ndarray:
    return posed(MEAN, (SCALE, turn(yaw), np.array([90 + 0.6 * index, 84, 0])))


def face_at(mesh: np.ndarray) -> Face:
    grid = np.array([[20.0, 0, 0], [0, 20.0, 0]])
    return Face(bounds(mesh), mesh, 0.9, None, np.full((8, 8), 255, np.uint8), grid)


def area_at(index: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(mesh_at(index)[:468, :2]).astype(np.int32)), 1)
    return mask > 0


def drawn(index: int) -> np.ndarray:
    """A grey room and an ellipse of skin with some texture; a dot at the upper left rim tells the reader the index."""
    picture = np.full((HEIGHT, WIDTH, 3), 70, np.float32)
    moved = np.roll(TEXTURE, round(0.6 * index), 1)
    picture[area_at(index)] = (150 + 0.7 * (moved - 128) + 6 * np.sin(index))[area_at(index)]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    picture[:8, : 8 * COUNT] = 0
    picture[:8, 8 * index : 8 * index + 8] = 255
    return picture


class FakeReader:
    """Knows where the drawn face is; a person is known by the colour of the face: red ones are the wanted one."""

    def detect(self, rgb: np.ndarray, turns: object = None, known: object = ()) -> list[Face]:
        if rgb.shape != (HEIGHT, WIDTH, 3):  # the photo
            return [face_at(posed(MEAN, (60.0, np.eye(3), np.array([150, 150, 0]))))] if rgb.mean() > 1 else []
        index = self.index(rgb)
        return [] if rgb[84, 90].max() < 2 else [face_at(mesh_at(index))]

    def follow(self, rgb: np.ndarray, mesh: np.ndarray) -> Face | None:
        return face_at(mesh_at(self.index(rgb)))

    def glance(self, rgb: np.ndarray, mesh: np.ndarray) -> float:
        return 0.9

    def embed(self, rgb: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[self.person(rgb)]

    @staticmethod
    def index(rgb: np.ndarray) -> int:
        return int(rgb[:8, : 8 * COUNT, 1].mean(0).reshape(COUNT, 8).mean(1).argmax())

    @staticmethod
    def person(rgb: np.ndarray) -> int:
        middle = rgb[60:100, 80:110].reshape(-1, 3).mean(0)
        return int(rgb.shape != (HEIGHT, WIDTH, 3) or middle[0] > middle[2] + 20)


def same(_index: int, picture: np.ndarray, _area: np.ndarray) -> np.ndarray:
    return picture


def reddened(_index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    shifted = np.clip(picture.astype(np.int16) + np.array([30, 0, -30]), 0, 255).astype(np.uint8)
    return np.where(area[..., None], shifted, picture)


def blurred(_index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    return np.where(area[..., None], cv2.GaussianBlur(picture, (0, 0), 2.5), picture)


def flickering(index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    shifted = np.clip(picture.astype(np.int16) + (14 if index % 2 else -14), 0, 255).astype(np.uint8)
    return np.where(area[..., None], shifted, picture)


def repainted(_index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    changed = picture.copy()
    changed[120:, 150:] = 200
    return changed


def write(path: Path, change: Change = same, late: int = 0, note: float | None = 440.0) -> Path:
    """A lossless clip with sound; from frame 5 on it is `late` milliseconds late."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono") if note else None
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(change(index, drawn(index), area_at(index)), "rgb24")
            frame.pts, frame.time_base = 40 * index + (late if index >= 5 else 0), Fraction(1, 1000)
            container.mux(video.encode(frame.reformat(format="yuv444p")))
        container.mux(video.encode())
        if audio:
            wave = (8000 * np.sin(2 * np.pi * note * np.arange(4800) / 8000)).astype(np.int16)
            block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
            block.sample_rate, block.pts = 8000, 0
            container.mux(audio.encode(block))
            container.mux(audio.encode())
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clips") / "original.mkv")


def grained(picture: np.ndarray) -> np.ndarray:
    """With the detail that a photo in focus has."""
    noise = np.random.default_rng(0).normal(0, 12, (*picture.shape[:2], 1))
    return np.where(picture.any(-1, keepdims=True), np.clip(picture + noise, 0, 255), 0).astype(np.uint8)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "red.png"
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[60:260, 60:240] = (60, 90, 200)  # BGR
    cv2.imwrite(str(path), grained(picture))
    return path


class Spoilt:
    """Evaluates the original against a clip spoilt in some way."""

    def __init__(self, original: Path, photo: Path, folder: Path) -> None:
        self.original, self.photo, self.folder = original, photo, folder

    def __call__(self, change: Change = same, reader: FakeReader | None = None, **how: object) -> Evaluation:
        clip = write(self.folder / "spoilt.mkv", change, **how)  # type: ignore[arg-type]
        return evaluate(self.original, clip, self.photo, reader or FakeReader())


@pytest.fixture
def spoilt(original: Path, photo: Path, tmp_path: Path) -> Spoilt:
    return Spoilt(original, photo, tmp_path)


def test_what_was_read_with_reservations_is_told(spoilt: Spoilt, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path) -> Clip:
        return replace(open_clip(path), notes=("as said",))

    monkeypatch.setattr(compare, "open_clip", opened)
    dark = cv2.imread(str(spoilt.photo)) // 6
    cv2.imwrite(str(spoilt.photo), dark)
    first, second, *photos = spoilt().notes
    assert (first, second) == (f"{spoilt.original.name}: as said", "spoilt.mkv: as said")
    assert photos
    assert all(note.startswith(spoilt.photo.name) for note in photos)


def test_the_same_clip_is_perfect_but_nobody_else(spoilt: Spoilt) -> None:
    result = spoilt()
    assert (result.frames, result.first.faces, result.first.lost) == ((COUNT, COUNT), COUNT, 0)
    figures = result.figures
    for name in ("flicker", "flicker_p95", "sharpness"):
        assert figures[name] == pytest.approx(1.0)
    for name in ("timing_ms", "pose_deg", "expression", "mouth", "eyes", "light_de", "grain_db", "texture_db"):
        assert figures[name] == pytest.approx(0.0, abs=1e-2)
    assert figures["background_db"] == BEST_DB
    assert figures["leak"] == pytest.approx(1.0)
    assert figures["identity"] == pytest.approx(0.0)
    assert result.sound == "same"


def test_a_movement_that_is_half_repeated_is_said_to_be_damped() -> None:
    measure = next(measure for measure in measures.MEASURES if measure.name == "moves_corners")
    moved = 0.1 * np.sin(np.arange(40.0))
    half, still = np.stack([moved, moved / 2], 1), np.zeros((40, 2))
    (figure,) = measure.figures
    assert figure.over(half) == pytest.approx(0.5)
    assert figure.verdict(0.5) == "corners of the mouth hardly moves"
    assert (figure.verdict(1.0), figure.over(still)) == ("good", None)


def test_another_face_is_seen_as_the_wanted_person(spoilt: Spoilt) -> None:
    figures = spoilt(reddened).figures
    assert figures["identity"] == pytest.approx(1.0)
    assert figures["identity_least"] == pytest.approx(1.0)
    assert figures["leak"] == pytest.approx(0.0)
    assert figures["identity_before"] == pytest.approx(0.0)
    assert figures["light_de"] > 10
    assert figures["background_db"] > 50


def test_blur_is_seen(spoilt: Spoilt) -> None:
    figures = spoilt(blurred).figures
    assert figures["sharpness"] < 0.4
    assert figures["grain_db"] < -6
    assert figures["background_db"] > 50


def test_flicker_is_seen(spoilt: Spoilt) -> None:
    figures = spoilt(flickering).figures
    assert figures["flicker"] > 2
    assert figures["flicker_p95"] > 1.5
    assert figures["sharpness"] == pytest.approx(1, abs=0.1)


def test_a_change_away_from_the_face_is_seen(spoilt: Spoilt) -> None:
    assert spoilt(repainted).figures["background_db"] < 30


def test_frames_that_come_late_are_seen(spoilt: Spoilt) -> None:
    assert spoilt(late=7).figures["timing_ms"] == pytest.approx(7.0)


def film(path: Path, codec: str, count: int = COUNT) -> Path:
    """Lossless pictures at 25 a second, with a rising tone for as long."""
    rate = 48000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "0", "bf": "0"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(index), "rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        at = np.arange(count * rate // 25) / rate
        wave = (8000 * np.sin(2 * np.pi * (300 + 500 * at) * at)).astype(np.int16)
        block = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        container.mux(audio.encode(block))
        container.mux(audio.encode())
    return path


def part_written(source: Path, out: Path, start: int = 0, stop: int = COUNT) -> Path:
    """What a render makes of some frames of a film."""
    clip = open_clip(source)
    natives = ((frame.index, frame.native) for frame in frames(clip, start, stop))
    encode(clip, natives, out, WriteSettings(lossless=True), {})
    return out


@pytest.mark.parametrize(("codec", "names"), [
    ("aac", ("film.ts", "out.mp4")), ("aac", ("film.mp4", "out.mkv")), ("aac", ("film.mp4", "out.ts")),
    ("pcm_s16le", ("film.mov", "out.mkv")), ("libopus", ("film.mkv", "out.mp4")), ("mp2", ("film.ts", "out.mkv")),
])  # fmt: skip
@pytest.mark.parametrize("span", [(0, COUNT), (6, COUNT), (0, 10), (5, 13)])
def test_parts_and_other_containers_are_laid_over_the_clip_first(
    codec: str, names: tuple[str, str], span: tuple[int, int], photo: Path, tmp_path: Path
) -> None:
    original, out, (start, stop) = film(tmp_path / names[0], codec), tmp_path / names[1], span
    result = evaluate(original, part_written(original, out, start, stop), photo, FakeReader())
    assert result.frames == (COUNT, stop - start)
    assert result.sound == "same"
    assert result.figures["timing_ms"] <= 0.5  # Matroska's own rounding
    assert result.figures["background_db"] > 50
    assert result.first.moments[0].second >= start / 25


def test_pictures_that_slip_against_their_sound_are_seen(photo: Path, tmp_path: Path) -> None:
    original = film(tmp_path / "film.mp4", "aac")
    slipped = tmp_path / "slipped.mp4"
    with av.open(str(original)) as source, av.open(str(slipped), "w") as target:
        tracks = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            late = Fraction(packet.stream.type == "video") / 12.5 / packet.time_base  # two frames
            packet.pts, packet.dts = packet.pts + round(late), packet.dts + round(late)
            packet.stream = tracks[packet.stream.index]
            target.mux(packet)
    result = evaluate(original, slipped, photo, FakeReader())
    assert result.sound == "same"
    assert result.figures["timing_ms"] == pytest.approx(80, abs=0.5)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_that_is_cut_short_or_moved_is_not_the_same(codec: str, photo: Path, tmp_path: Path) -> None:
    original = film(tmp_path / "film.mov", codec)
    whole = part_written(original, tmp_path / "out.mov")
    with av.open(str(whole)) as source, av.open(str(tmp_path / "short.mov"), "w") as target:
        tracks = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for packet in source.demux():
            sound = packet.stream.type == "audio"
            if packet.dts is not None and not (sound and packet.pts * packet.time_base > 0.3):
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    assert evaluate(original, tmp_path / "short.mov", photo, FakeReader()).sound == "changed"


@pytest.mark.parametrize(("note", "word"), [(440.0, "same"), (660.0, "changed"), (None, "missing")])
def test_sound_is_compared(spoilt: Spoilt, note: float | None, word: str) -> None:
    assert spoilt(note=note).sound == word


def test_a_face_that_only_the_swap_lost_is_counted(spoilt: Spoilt) -> None:
    class Forgetful(FakeReader):
        def follow(self, rgb: np.ndarray, mesh: np.ndarray) -> Face | None:
            return None if self.person(rgb) and self.index(rgb) == 6 else super().follow(rgb, mesh)

    result = spoilt(reddened, Forgetful())
    assert (result.first.faces, result.first.lost) == (COUNT, 1)


def test_other_sizes_no_face_and_no_photo_are_refused(original: Path, photo: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.mkv"
    with av.open(str(small), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv444p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24").reformat(format="yuv444p")
        container.mux(video.encode(frame))
        container.mux(video.encode())
    with pytest.raises(InputError, match="64x64"):
        evaluate(original, small, photo, FakeReader())
    with pytest.raises(InputError, match="no file"):
        evaluate(original, tmp_path / "absent.mkv", photo, FakeReader())
    with pytest.raises(IdentityError):
        evaluate(original, original, tmp_path / "absent.png", FakeReader())

    class Blind(FakeReader):
        def detect(self, rgb: np.ndarray, turns: object = None, known: object = ()) -> list[Face]:
            return [] if rgb.shape[:2] == (HEIGHT, WIDTH) else super().detect(rgb)

    with pytest.raises(NoFaceError):
        evaluate(original, original, photo, Blind())


def test_the_page_holds_all_and_needs_nothing(spoilt: Spoilt, tmp_path: Path) -> None:
    result = spoilt(reddened)
    out = tmp_path / "report.html"
    write_page(out, result, "a <clip> & its swap")
    html = out.read_text()
    assert html == page(result, "a <clip> & its swap")
    assert "a &lt;clip&gt; &amp; its swap" in html
    shown = [*result.first.moments, *(pair for shot in result.shots for each in shot.persons for pair in each.moments)]
    assert html.count("<img") == 2 * len(shown) > 2 * len(result.first.moments) > 0
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<svg") >= 4
    assert [path.name for path in tmp_path.glob("*.part")] == []
    with pytest.raises(OutputError):
        write_page(tmp_path / "absent" / "report.html", result, "x")


CUT = COUNT // 2
ROOMS = [np.clip(70 + 4 * (cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(
    np.float32), (0, 0), 3) - 128), 0, 255).astype(np.uint8) for seed in (5, 6)]  # fmt: skip


def furnished(index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    """In one room, and after a cut in another."""
    there = np.where(area[..., None], picture, ROOMS[int(index >= CUT)])
    there[:8] = picture[:8]
    return there


def spoilt_after_the_cut(index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
    there = reddened(index, furnished(index, picture, area), area)
    return blurred(index, there, area) if index >= CUT else there


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A clip of two shots, its swap, of which the second is blurred, and a photo of who is in it."""
    folder = tmp_path_factory.mktemp("shots")
    picture = np.zeros((300, 300, 3), np.uint8)
    picture[60:260, 60:240] = (120, 150, 180)  # BGR
    cv2.imwrite(str(folder / "photo.png"), grained(picture))
    clips = write(folder / "clip.mkv", furnished), write(folder / "swapped.mkv", spoilt_after_the_cut)
    return *clips, folder / "photo.png"


def test_each_shot_has_figures_of_its_own_and_says_why_it_fell_short(two_shots: tuple[Path, Path, Path]) -> None:
    result = evaluate(*two_shots, FakeReader())
    good, short = result.shots
    assert [(shot.number, shot.frames) for shot in result.shots] == [(0, Shot(0, CUT)), (1, Shot(CUT, COUNT))]
    assert [each.faces for shot in result.shots for each in shot.persons] == [CUT, COUNT - CUT]
    assert good.fell_short == ()
    assert good.persons[0].figures["sharpness"] == pytest.approx(1, abs=0.1)
    assert short.persons[0].figures["sharpness"] < 0.5 < result.figures["sharpness"]
    soft = next(each for each in short.fell_short if each.figure == "sharpness")
    assert str(soft).startswith("person 0: softer than the scene (sharpness 0.")
    assert soft.worst == short.persons[0].worst["sharpness"][0]
    assert not any(each.figure == "light_de" for each in short.fell_short), "another complexion may be meant"
    shown = {pair.second for pair in short.persons[0].moments}
    assert shown == {each.worst.second for each in short.fell_short if each.worst}
    assert good.persons[0].moments == ()
    rows = [*result.rows()]
    assert rows[rows.index("1 of 2 shots fell short:") + 1] == "shot 1, 0:00.32 to 0:00.64, frames 8 to 15"
    assert rows[-1].startswith("  person 0: ")


def test_the_worst_frames_are_told_worst_first_and_apart(two_shots: tuple[Path, Path, Path]) -> None:
    result = evaluate(*two_shots, FakeReader())
    assert all(frame.frame in range(shot.frames.start, shot.frames.stop) for shot in result.shots
               for each in shot.persons for frames in each.worst.values() for frame in frames)  # fmt: skip
    assert result.first.worst["sharpness"][0].frame >= CUT
    assert result.first.worst.keys() <= result.first.verdicts.keys()

    figure = Figure("a", "A", "A number.", low=-1.0, high=3.0)
    values = [Value(index, index / 25, value) for index, value in enumerate([2.0, 9, 8, 2] + [0] * 40 + [-6, -7, 2])]
    found = [*_worst(figure, values, np.array([each.value for each in values]))]
    assert [(frame.frame, frame.value) for frame in found] == [(1, 9.0), (45, -7.0), (14, 0.0)]
    assert len(found) == WORST
    assert min(abs(one.second - other.second) for one, other in pairwise(found)) >= REST


def test_whose_photos_they_are_not_is_not_held_to_them() -> None:
    person = Portrayal(1, 20, 3, {"identity": 0.1, "skin_own": 0.0, "gaze": 0.5, "light_de": 50.0}, {}, (), {})
    assert person.shortfalls(is_of_photos=False) == {"lost": LOST, "gaze": "lost gaze"}
    assert person.shortfalls(is_of_photos=True).keys() == {"lost", "gaze", "identity", "skin_own"}
    assert "lost" not in replace(person, lost=2).verdicts


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20))
def test_a_moment_alone_is_what_the_figure_is_of_it(values: list[tuple[float, float]]) -> None:
    column = np.array(values)
    for figure in all_figures():
        wide = figure.name.startswith(("moves", "flicker", "mouth", "eyes"))
        alone, off = figure.alone(column if wide else column[:, 0])
        assert alone.shape == off.shape == (len(values),)
        if figure.name.startswith("moves"):
            assert alone == pytest.approx(np.abs(column[:, 0] - column[:, 1]))
        elif figure.wanted:
            assert [figure.verdict(value) == "good" for value in alone] == (off <= 0).tolist()


def test_a_report_is_what_a_swap_reads(
    two_shots: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidswap.measure.evaluate.open_faces", lambda _: FakeReader())
    clip, swapped, photo = two_shots
    found = evaluate_clip(clip, swapped, photo, out=tmp_path / "report.json", html=tmp_path / "report.html")
    report = read_report(tmp_path / "report.json")
    assert (report.clip.sha256, report.swapped.sha256) == (digest_of(clip), digest_of(swapped))
    assert report.part == (0, COUNT)
    assert [(shot.frames, bool(shot.fell_short)) for shot in report.shots] == [((0, CUT), False), ((CUT, COUNT), True)]
    said = json.loads((tmp_path / "report.json").read_text())
    assert said == json.loads(json.dumps(found.as_dict()))
    assert said["shots"][1]["persons"][0]["verdicts"]["sharpness"] == "softer than the scene"
    assert {"frame", "second", "value"} == said["worst"]["sharpness"][0].keys()
    assert "softer than the scene (sharpness" in (tmp_path / "report.html").read_text()
    with pytest.raises(OutputError, match="is the swapped itself"):
        evaluate_clip(clip, swapped, photo, out=swapped)


def test_figures_survive_json(spoilt: Spoilt) -> None:
    given_out = spoilt().as_dict()
    assert given_out["sound"] == "same"
    assert given_out["frames"] == [COUNT, COUNT]
    assert isinstance(given_out["flicker"], float)


# -- measures on their own --------------------------------------------------------------------------------------------


@given(st.floats(-40, 40), st.floats(0.5, 3))
def test_pose_angle_is_the_turn(yaw: float, zoom: float) -> None:
    turned = posed(MEAN, (zoom * SCALE, turn(yaw), np.array([50, 60, 0])))
    assert pose_angle(mesh_at(0), turned, MEAN) == pytest.approx(abs(yaw), abs=0.1)
    assert expression_error(mesh_at(0), turned) < 1e-3


def test_an_open_mouth_is_seen_whatever_the_pose() -> None:
    opened = MEAN.copy()
    opened[[14, 17, 84, 314], 1] += 0.2
    shut, spoken = (posed(face, (SCALE, turn(15), np.zeros(3))) for face in (MEAN, opened))
    assert openings(spoken)[0] - openings(shut)[0] > 0.1
    assert openings(spoken)[1] == pytest.approx(openings(shut)[1], abs=1e-4)
    assert expression_error(shut, spoken) > 0.01


@given(st.floats(-0.2, 0.2), st.floats(-0.15, 0.15), st.floats(-30, 30))
def test_gaze_is_where_the_irises_are_whatever_the_pose(along: float, across: float, roll: float) -> None:
    a = np.radians(roll)
    turned = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    looking = MEAN.copy()
    for iris, (outer, inner) in zip(IRISES, EYE_CORNERS):
        wide = np.linalg.norm(MEAN[outer, :2] - MEAN[inner, :2])
        looking[iris, :2] += np.array([along, across]) * wide
    straight, aside = (gaze(posed(face, (SCALE, turned, np.zeros(3)))) for face in (MEAN, looking))
    assert aside - straight == pytest.approx([along, across], abs=0.02)


def test_nobody_tells_where_closed_eyes_look() -> None:
    shut = MEAN.copy()
    for upper, lower in LID_MIDDLES:
        shut[upper] = shut[lower]
    assert gaze(shut) is None
    assert gaze(MEAN) is not None


@pytest.mark.parametrize(("skin", "told"), [((150, 100, 80), None), ((235, 215, 205), "paled skin")])
def test_paled_skin_is_called_so(skin: tuple[int, int, int], told: str | None, tmp_path: Path, spoilt: Spoilt) -> None:
    photo = tmp_path / "brown.png"
    cv2.imwrite(str(photo), grained(np.full((300, 300, 3), (80, 100, 150), np.uint8)))  # BGR

    def painted(_index: int, picture: np.ndarray, area: np.ndarray) -> np.ndarray:
        return np.where(area[..., None], np.array(skin, np.uint8), picture)

    spoilt.photo = photo
    found = spoilt(painted)
    if told is None:
        assert found.figures["skin_own"] == pytest.approx(1, abs=0.1)
    assert found.first.verdicts["skin_lighter"] == (told or "good")


def test_the_actors_complexion_is_called_so(spoilt: Spoilt) -> None:
    found = spoilt()  # grey skin, a reddish photo
    assert found.figures["skin_own"] == pytest.approx(0, abs=0.05)
    assert found.first.verdicts["skin_own"] == "the actor's complexion"


def test_lost_gaze_is_called_so(spoilt: Spoilt) -> None:
    class Squinting(FakeReader):
        def follow(self, rgb: np.ndarray, mesh: np.ndarray) -> Face | None:
            aside = mesh_at(self.index(rgb))
            for iris in IRISES:
                aside[iris, 0] += 4 * self.person(rgb)
            return face_at(aside)

    assert spoilt().first.verdicts["gaze"] == "good"
    assert spoilt(reddened, Squinting()).first.verdicts["gaze"] == "lost gaze"


@pytest.mark.parametrize(("face", "neck", "seen"), [(0, 0, 0.0), (-40, -40, 0.0), (-40, 0, 10.0)])
def test_a_masks_edge_is_seen_and_another_complexion_is_none(face: int, neck: int, seen: float) -> None:
    mesh = posed(MEAN, (70.0, np.eye(3), np.array([128.0, 120.0, 0.0])))
    before = np.full((256, 256, 3), (190, 150, 130), np.uint8)
    after = (before.astype(int) + neck).astype(np.uint8)
    after[face_area(mesh, before.shape)] = np.clip(np.array([190, 150, 130]) + face, 0, 255)
    found = seam(before, after, mesh)
    assert found is not None
    assert found == pytest.approx(0, abs=0.1) if seen == 0 else found > seen
    before[~face_area(mesh, before.shape, -0.02)] = 20
    assert seam(before, after, mesh) is None, "hair and sky are no skin"


@given(st.integers(1, 60))
def test_psnr_of_a_known_error(step: int) -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(flat, flat + np.uint8(step), np.ones((8, 8), bool)) == pytest.approx(
        20 * np.log10(255 / step), abs=1e-3
    )
    assert psnr(flat, flat, np.ones((8, 8), bool)) == BEST_DB


def test_grain_is_measured_in_decibels() -> None:
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 6, (64, 64, 1)).repeat(3, 2)
    weak, strong = (np.clip(120 + gain * noise, 0, 255).astype(np.uint8) for gain in (1, 2))
    area = np.ones((64, 64), bool)
    difference = band_energies(strong, area) - band_energies(weak, area)
    assert difference == pytest.approx([6.02, 6.02], abs=0.4)
    assert sharpness(strong, area) / sharpness(weak, area) == pytest.approx(2, abs=0.1)
    assert band_energies(weak, np.zeros((64, 64), bool)) is None


def test_flicker_ignores_a_steady_change() -> None:
    area = np.ones((4, 4), bool)
    ramp = [np.full((4, 4), float(level)) for level in (10, 20, 30)]
    assert flicker(ramp, area) == 0
    assert flicker([ramp[0], ramp[2], ramp[0]], area) == 40


COLOURS = ((150, 150, 150), (90, 150, 90))  # of two people beside one another
WISHED = (200, 90, 60)


def pair_film(path: Path, *colours: tuple[int, int, int]) -> Path:
    """Two faces side by side, in a colour each; the second one is larger."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 2 * WIDTH, HEIGHT, "yuv444p"
        for index in range(COUNT):
            picture = np.full((HEIGHT, 2 * WIDTH, 3), 70, np.uint8)
            for mesh, colour in zip(pair_at(), colours, strict=True):
                cv2.fillConvexPoly(picture, cv2.convexHull(np.round(mesh[:468, :2]).astype(np.int32)), colour)
            frame = av.VideoFrame.from_ndarray(np.roll(picture, index % 2, 0), "rgb24").reformat(format="yuv444p")
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def pair_at() -> list[np.ndarray]:
    return [posed(MEAN, (scale, np.eye(3), np.array([x, 84, 0]))) for scale, x in ((25.0, 90), (34.0, 280))]


class PairReader(FakeReader):
    """Knows both; who they are is the colour of the face, and what it is `asked` for."""

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, rgb: np.ndarray, turns: object = None, known: object = ()) -> list[Face]:
        self.asked += rgb.shape[1] == 2 * WIDTH
        return [face_at(mesh) for mesh in pair_at()] if rgb.shape[1] == 2 * WIDTH else super().detect(rgb)

    def follow(self, rgb: np.ndarray, mesh: np.ndarray) -> Face | None:
        return face_at(min(pair_at(), key=lambda each: float(np.abs(each - mesh).sum())))

    def embed(self, rgb: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        x, y = mesh[1, :2].round().astype(int)
        seen = rgb[y, x] if rgb.shape[1] == 2 * WIDTH else WISHED
        return np.eye(3, dtype=np.float32)[[np.abs(np.subtract(each, seen)).sum() < 40
                                            for each in (*COLOURS, WISHED)].index(True)]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "wanted"), [
    (WISHED, COLOURS[1], [1]), (COLOURS[0], WISHED, [0]), (WISHED, WISHED, [0, 1]), (*COLOURS, [0]),
])  # fmt: skip
def test_who_changed_is_measured(
    first: tuple[int, int, int], second: tuple[int, int, int], wanted: list[int], photo: Path, tmp_path: Path
) -> None:
    """In the plan the larger face, on the right, is person 0."""
    before, after = pair_film(tmp_path / "a.mkv", *COLOURS), pair_film(tmp_path / "b.mkv", first, second)
    found = evaluate(before, after, photo, PairReader())
    assert [each.person for each in found.persons] == wanted
    same = (first, second) == COLOURS
    for each in found.persons:
        assert (each.faces, each.lost) == (COUNT, 0)
        assert each.figures["identity"] == pytest.approx(0.0 if same else 1.0)
        assert each.figures["leak"] == pytest.approx(1.0 if same else 0.0)
        assert each.figures["background_db"] == BEST_DB, "what is swapped on the other one is no background"
        assert len(each.moments) > 0
    assert [each["person"] for each in found.as_dict()["others"]] == wanted[1:]  # type: ignore[attr-defined]
    assert (page(found, "two").count("Person 1: Figures") == 1) == (len(wanted) == 2)


def test_who_is_most_like_the_photos_comes_first(photo: Path, tmp_path: Path) -> None:
    before, after = pair_film(tmp_path / "a.mkv", *COLOURS), pair_film(tmp_path / "b.mkv", WISHED, COLOURS[0])
    assert [each.person for each in evaluate(before, after, photo, PairReader()).persons] == [1, 0]


def test_the_plan_that_a_swap_kept_is_used(photo: Path, tmp_path: Path) -> None:
    clip, readers, read = pair_film(tmp_path / "a.mkv", *COLOURS), (PairReader(), PairReader()), ReadSettings(
        cache=tmp_path / "kept")  # fmt: skip
    found = [evaluate(clip, clip, photo, reader, read=read).as_dict() for reader in readers]
    assert found[0] == found[1]
    assert (readers[0].asked > 0, readers[1].asked) == (True, 0)


def test_a_new_measure_is_figured_judged_and_shown(spoilt: Spoilt, monkeypatch: pytest.MonkeyPatch) -> None:
    blue = Measure(("close_before", "close_after"), lambda a, b: float(b[..., 2].mean() - a[..., 2].mean()),
                   (Figure("blueness", "Blueness", "How much bluer it got.", low=-1.0, wrong=("robbed of blue", "")),),
                   every=2, graph="Blue over time")  # fmt: skip
    monkeypatch.setattr(measures, "MEASURES", (*measures.MEASURES, blue))
    found = spoilt(reddened)
    assert found.figures["blueness"] < -5
    assert found.first.verdicts["blueness"] == "robbed of blue"
    assert len(found.first.curves["blueness"]) == COUNT // 2
    assert any("blueness" in row and row.endswith("robbed of blue") for row in found.rows())
    for words in ("Blueness", "robbed of blue", "How much bluer it got.", "Blue over time", "at least -1"):
        assert words in page(found, "x")


def test_measures_need_what_an_instant_has() -> None:
    assert all(hasattr(Instant, need) or need in Instant.__dataclass_fields__
               for measure in measures.MEASURES for need in measure.needs)  # fmt: skip
    names = [figure.name for figure in all_figures()]
    assert len(set(names)) == len(names)


def test_no_sound_and_other_sound_have_words_of_their_own(original: Path) -> None:
    heard, whole = sounds(original), (Fraction(0), None)
    assert compare_sound([], [], whole, Fraction(0)).word == "none"
    assert compare_sound([], heard, whole, Fraction(0)).word == "changed"
    assert compare_sound(heard, [], whole, Fraction(0)).word == "missing"
    assert compare_sound(heard, [*heard, *heard], whole, Fraction(0)).word == "changed"


def test_a_graph_of_one_point_can_be_drawn() -> None:
    assert "nan" not in graph([[(0.0, 0.0)]])
