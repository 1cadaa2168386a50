"""The swap."""

from __future__ import annotations

import argparse

import vidswap
from vidswap.cli.console import bars, say, say_json
from vidswap.cli.people import cast_told, people_words, swap_words
from vidswap.cli.words import Parser, place, settings_of, warn

ABOUT = "put a face into a clip"


def words(words: Parser) -> None:
    words.add_argument("clip", type=place, metavar="CLIP", help="the film clip")
    people_words(words)
    words.add_argument("--preview", action="store_true", help="no film: some moments of it as a picture beside it, how "
                       "long it would take, and where it is hard")  # fmt: skip
    swap_words(words)


def run(options: argparse.Namespace) -> None:
    settings = settings_of(options)
    cast = cast_told(options, settings)
    if options.preview:
        return preview(options, cast, settings)
    with bars() as report:
        done = vidswap.swap_clip(options.clip, cast, options.out, settings, report=report)
    warn(done.notes)
    if options.json:
        return say_json({"out": str(done.out), "sheet": options.sheet and str(options.sheet), "frames": done.frames,
                         "resumed": done.resumed, "kept": done.kept, "repeated": done.repeated, "swapped": done.swapped,
                         "persons": done.persons, "engine": settings.swap.engine, "licence": done.licence,
                         "notes": done.notes, "seconds": round(done.seconds, 2)})  # fmt: skip
    found = f", {done.kept} are as they were in the earlier result" if done.kept else ""
    found += f", {done.resumed} were there already" if done.resumed else ""
    say(f"{done.out}: {done.swapped} of {done.frames} frames have the new face{found}; {done.seconds:.1f} s")
    if options.sheet:
        say(f"{options.sheet}: before and after")
    if options.face_pack != "embedded":
        say(f"face models: {done.licence}")


def preview(options: argparse.Namespace, cast: vidswap.Cast, settings: vidswap.Settings) -> None:
    """What a swap would be, as a picture and a few lines."""
    picture = options.sheet or options.out.with_name(f"{options.out.stem}_preview.png")
    with bars() as report:
        found = vidswap.preview_clip(options.clip, cast, options.out, picture, settings, report=report)
    warn(found.notes)
    if options.json:
        return say_json({"preview": str(found.picture), "frames": found.frames, "size": found.size,
                         "duration": round(found.duration, 3), "seconds": round(found.seconds, 1),
                         "persons": found.persons, "hard": found.hard, "notes": found.notes})  # fmt: skip
    width, height = found.size
    say(f"{found.picture}: moments, before and after; of {options.out} nothing is written yet",
        f"{found.frames} frames of {width}x{height}, {found.duration:.1f} s; about {found.seconds:.0f} s to render",
        *(f"hard: {line}" for line in found.hard))  # fmt: skip
