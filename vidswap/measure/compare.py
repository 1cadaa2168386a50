"""Two clips and the photos -> an Evaluation. Both clips are read side by side; memory does not grow with their length.

Blur makes flicker look good, and changing little makes everything but the identity look good: read the figures
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np

from vidswap.errors import InputError, NoFaceError
from vidswap.face.landmarks import mean_face
from vidswap.measure.align import compare_sound, part_of, seconds_of, timing
from vidswap.measure.instant import Instant, Wanted
from vidswap.measure.measures import TIMING
from vidswap.measure.pixels import face_area
from vidswap.measure.portrayal import Booked, Portrayal
from vidswap.measure.shots import Pair, ShotEvaluation, pictured, shots_of
from vidswap.media.sound import sounds
from vidswap.plan.store import find_plan, source_of
from vidswap.progress import Progress, Report, quiet
from vidswap.read.analysis import analyse
from vidswap.read.clip import frames, open_clip
from vidswap.read.faces import FaceReader
from vidswap.read.identity import load_identity
from vidswap.redo import JudgedFile
from vidswap.settings import ReadSettings
from vidswap.threads import prefetch
from vidswap.types import Array, Clip, Consent, Shot, Track, TrackPart

STRIPS = 6  # moments of a person kept to be looked at
LOOKS = 5  # frames in which it is seen whether somebody's face changed
CHANGED, NEAR = 3.0, 1 / 3  # grey levels by which a swapped face differs, at least; and of what the most changed does
WAITING = 2  # pairs of pictures that are read ahead
# Nothing is made of the face and nothing kept but figures, so nobody is asked; and nobody is said to have been.
MEASURED = Consent("whoever the photos show", ("evaluate",), record="none: measured, not swapped")
READ = ReadSettings()
Look = tuple[int, Instant]  # person, what there is to measure on them


@dataclass(frozen=True)
class Evaluation:
    """How good a swap is: `frames` in both clips, what became of the `sound`, and of each person that was swapped, who
    is most like the photos first; the same of each of the `shots`. `clip` and `swapped` are the files, of the clip the
    frames `part` were compared. `notes` are what a person should know of how clips and photos were read, a line
    each."""

    frames: tuple[int, int]
    sound: str  # "same", "changed", "missing", "none"
    persons: tuple[Portrayal, ...]
    shots: tuple[ShotEvaluation, ...]
    clip: JudgedFile
    swapped: JudgedFile
    part: Shot
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Portrayal:
        return self.persons[0]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """Those of the first person."""
        return self.first.figures

    def as_dict(self) -> dict[str, object]:
        """All but curves and pictures, ready for JSON: what `vidswap swap --redo` reads."""
        others = [each.told() for each in self.persons[1:]]
        return {"clip": asdict(self.clip), "swapped": asdict(self.swapped), "part": [self.part.start, self.part.stop],
                "frames": list(self.frames), "sound": self.sound, **self.first.told(), "others": others,
                "shots": [shot.as_dict() for shot in self.shots], "notes": list(self.notes)}  # fmt: skip

    def rows(self) -> Iterator[str]:
        """The same for people: a figure a line, with its verdict; a person after the other; and the shots that fell
        short."""
        told: list[tuple[str, object, str]] = [("frames", list(self.frames), ""), ("sound", self.sound, "")]
        for each in self.persons:
            told += [(name, value, each.verdicts.get(name, "")) for name, value in each.as_dict().items()]
        yield from (f"{name:<22}{value!s:<12}{verdict}".rstrip() for name, value, verdict in told)
        short = [shot for shot in self.shots if shot.fell_short]
        yield f"{len(short)} of {len(self.shots)} shots fell short" + (":" if short else "")
        for shot in short:
            yield f"shot {shot.number}, {shot.when}"
            yield from (f"  {line}" for line in shot.fell_short)


def evaluate(
    original: Path, swapped: Path, photos: Path, reader: FaceReader, *,
    read: ReadSettings = READ, report: Report = quiet,
) -> Evaluation:  # fmt: skip
    """Compare a clip with its swap and with the photos (file or folder) of who should be in it. A swap of a part of the
    clip is compared with that part; where its faces are, the plan tells that `read` finds.

    Raises InputError (unreadable, or the pictures differ in size), IdentityError, NoFaceError, ModelError, and what
    find_plan does."""
    before, after = open_clip(original), open_clip(swapped)
    if (before.width, before.height) != (after.width, after.height):
        sizes = f"{before.width}x{before.height} and {after.width}x{after.height}"
        raise InputError(f"the two clips differ in size: {sizes}", "evaluate the swap that was made of this clip")
    who = Wanted(load_identity(photos, MEASURED, reader), reader, mean_face())
    heard_in, progress = (sounds(original, before.stretches), sounds(swapped, after.stretches)), Progress(report)
    part = part_of(before, after, heard_in)
    with find_plan(before, part, read, partial(analyse, reader), progress) as found:
        plan = found.within(part)
        tracks = swapped_tracks(before, after, part, plan.tracks)
        booked = {person: Booked(person, spread(own, STRIPS)) for person, own in by_person(tracks).items()}
        with prefetch(_looked_at(_side_by_side(before, after, part), tracks, who), WAITING) as line:
            for index, instants in progress.reported("evaluation", line, len(part)):
                for person, instant in instants:
                    booked[person].take(index, before.seconds(index), instant)
        heard = compare_sound(*heard_in, *seconds_of(before, after, part))
        late = {TIMING.name: timing(before, after, part, heard.shift)}
        persons = [each.portrayal(late) for each in booked.values() if each.faces]
        persons.sort(key=lambda each: -(each.figures["identity"] or -1))
        shots = shots_of(plan.shots, [booked[each.person] for each in persons], before)
        shots = pictured(shots, tracks, before, lambda index: next(_side_by_side(before, after, part, index)))
    notes = *(f"{clip.path.name}: {note}" for clip in (before, after) for note in clip.notes), *who.identity.notes
    sources = (JudgedFile(str(original), plan.facts.source), JudgedFile(str(swapped), source_of(after)))
    return Evaluation((len(before), len(after)), heard.word, tuple(persons), tuple(shots), *sources, part, notes)


def by_person(tracks: Iterable[Track]) -> dict[int, list[Track]]:
    """Their tracks, of who is seen most first."""
    found = dict[int, list[Track]]()
    for track in sorted(tracks, key=attrgetter("person")):
        found.setdefault(track.person, []).append(track)
    return found


def swapped_tracks(before: Clip, after: Clip, part: Shot, tracks: Sequence[Track]) -> list[Track]:
    """The tracks of all whose face changed; where nobody's did, of who is seen most. Raises NoFaceError."""
    persons = by_person(tracks)
    if not persons:
        raise NoFaceError("nobody's face was found in the original clip", "a face should be at least 40 pixels wide")
    if len(persons) == 1:
        return list(tracks)
    changes = {person: _change(before, after, part, own) for person, own in persons.items()}
    least = max(CHANGED, NEAR * max(changes.values()))
    changed = {person for person, change in changes.items() if change >= least} or {min(persons)}
    return [track for track in tracks if track.person in changed]


def _change(before: Clip, after: Clip, part: Shot, tracks: Sequence[Track]) -> float:
    """By how many grey levels the face of a person differs, in a few frames."""
    changes = []
    for index in spread(tracks, LOOKS):
        mesh = next(_at(track, index).mesh[0] for track in tracks if track.start <= index < track.stop)
        one, other = next(_side_by_side(before, after, part, index))[1:]
        inside = face_area(mesh, one.shape, 0.1)
        changes.append(float(cv2.absdiff(one, other)[inside].mean()) if inside.any() else 0.0)
    return float(np.mean(changes))


def spread(tracks: Sequence[Track], count: int) -> list[int]:
    """So many frames that tracks cover, evenly spaced, neither the first nor the last."""
    covered = sorted({index for track in tracks for index in range(track.start, track.stop)})
    return [covered[int(at)] for at in np.linspace(0, len(covered) - 1, count + 2).round()[1:-1]]


def _at(track: Track, index: int) -> TrackPart:
    return track.part(index, index + 1)


def _side_by_side(before: Clip, after: Clip, part: Shot, start: int | None = None) -> Iterator[Pair]:
    """The pictures of both clips, from a frame on."""
    start = part.start if start is None else start
    for a, b in zip(frames(before, start, part.stop), frames(after, start - part.start, len(part)), strict=True):
        yield a.index, a.rgb, b.rgb


def _looked_at(pairs: Iterable[Pair], tracks: Sequence[Track], who: Wanted) -> Iterator[tuple[int, list[Look]]]:
    """What there is to measure on the tracks, frame by frame. Faces are looked for here, in the thread that asks, so
    that another one measures meanwhile."""
    steady = dict[int, tuple[Array, ...]]()
    for index, before, after in pairs:
        here = [_at(track, index) for track in tracks if track.start <= index < track.stop]
        places = tuple(track.mesh[0] for track in here)
        looks = {track.id: (track.person, Instant(before, after, track.mesh[0], places, who, steady.get(track.id, ())))
                 for track in here if track.seen[0]}  # fmt: skip
        steady = {number: instant.look() for number, (_, instant) in looks.items()}
        yield index, list(looks.values())
