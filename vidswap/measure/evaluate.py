"""The second journey: a clip, its swap and the photos -> an Evaluation, and the page that shows it."""

from __future__ import annotations

from vidswap.files import check_place, refuse_clash
from vidswap.measure.compare import Evaluation, evaluate
from vidswap.measure.page import write_page
from vidswap.pipeline import begun, read_by
from vidswap.progress import Report, quiet
from vidswap.read.faces import open_faces
from vidswap.settings import Place, Settings, path_of


def evaluate_clip(
    source: Place, swapped: Place, photos: Place, *, html: Place | None = None, settings: Settings = Settings(),
    report: Report = quiet,
) -> Evaluation:  # fmt: skip
    """Measure the clip `swapped` against the original `source` and the photos of who should be in it; `html` is where a
    report goes. Raises the errors of errors.py."""
    begun(settings, report)
    source, swapped, photos = path_of("source", source), path_of("swapped", swapped), path_of("photos", photos)
    page = None if html is None else path_of("html", html)
    if page:
        refuse_clash([("the report", page)], read_by(settings, clip=source, swapped=swapped, photos=photos))
        check_place(page)
    found = evaluate(source, swapped, photos, open_faces(settings.read.face_pack), read=settings.read, report=report)
    if page:
        write_page(page, found, f"{source.name} and {swapped.name}")
    return found
