"""The second journey: a clip, its swap and the photos -> an Evaluation, and the report of it, as JSON and as a page."""

from __future__ import annotations

import json

from vidswap.files import as_output_error, check_place, refuse_clash, write_whole
from vidswap.measure.compare import Evaluation, evaluate
from vidswap.measure.page import write_page
from vidswap.pipeline import begun, read_by
from vidswap.progress import Report, quiet
from vidswap.read.faces import open_faces
from vidswap.settings import Place, Settings, path_of


def evaluate_clip(
    source: Place, swapped: Place, photos: Place, *, out: Place | None = None, html: Place | None = None,
    settings: Settings = Settings(), report: Report = quiet,
) -> Evaluation:  # fmt: skip
    """Measure the clip `swapped` against the original `source` and the photos of who should be in it; `out` is where a
    report goes as JSON, which `swap.redo` reads, `html` where it goes as a page. Raises the errors of errors.py."""
    begun(settings, report)
    source, swapped, photos = path_of("source", source), path_of("swapped", swapped), path_of("photos", photos)
    filed, page = (None if place is None else path_of(name, place) for name, place in (("out", out), ("html", html)))
    outputs = [(what, place) for what, place in (("the report", filed), ("the page", page)) if place]
    refuse_clash(outputs, read_by(settings, clip=source, swapped=swapped, photos=photos))
    for _, place in outputs:
        check_place(place)
    found = evaluate(source, swapped, photos, open_faces(settings.read.face_pack), read=settings.read, report=report)
    if filed:
        with as_output_error(filed):
            write_whole(filed, json.dumps(found.as_dict(), indent=1).encode())
    if page:
        write_page(page, found, f"{source.name} and {swapped.name}")
    return found
