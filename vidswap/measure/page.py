"""An Evaluation -> one web page that needs no other file: verdicts in plain words, faces side by side, curves."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vidswap.files import as_output_error, write_whole
from vidswap.measure.compare import Evaluation, FacePair

WIDE, TALL = 640, 96  # of a graph, pixels
INKS = ("#2f6fde", "#d9622b")
NONE, ANY = -1e9, 1e9  # no least value, no greatest


@dataclass(frozen=True)
class Line:
    """What a figure means, from `low` to `high` it is good, and what is `wrong` where it is lower, or higher."""

    key: str
    name: str
    low: float
    high: float
    wrong: tuple[str, str]
    words: str

    def verdict(self, value: float) -> str:
        """What is wrong, or "good"; "" where a figure is neither."""
        if self.low == NONE and self.high == ANY:
            return ""
        return self.wrong[0] if value < self.low else self.wrong[1] if value > self.high else "good"

    @property
    def wanted(self) -> str:
        if self.low == NONE:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == ANY else f"{self.low:g} to {self.high:g}"


LINES = (
    Line("identity", "Likeness to the photo", 0.6, ANY, ("hardly the person", ""), "Cosine between the new face and "
         "the photo, as the face recogniser sees them: 1 is the same picture; one pair of strangers in twenty gets "
         "more than 0.45. The mean over the clip."),
    Line("identity_least", "Likeness, worst moment", 0.4, ANY, ("a stranger at times", ""), "The same, where it is "
         "lowest."),
    Line("leak", "Likeness to the actor", NONE, 0.6, ("", "still the actor"), "How much of the original actor still "
         "shines through: it should come near to how alike actor and photo were before."),
    Line("identity_before", "Actor and photo", NONE, ANY, ("", ""), "How alike the two were before: for comparison."),
    Line("skin_own", "Whose complexion", 0.6, 1.4, ("the actor's complexion", "overdone"), "Where the cheeks lie "
         "between the actor's colour, 0, and the photo's, 1. Not told where the two hardly differ; the scene's light "
         "moves it as well."),
    Line("skin_lighter", "Skin, lighter than in the photo", -25.0, 10.0, ("darkened skin", "paled skin"), "Cheeks of "
         "the swap less those of the photo, in L* (0 is black, 100 white). A dark scene darkens it rightly; nothing "
         "should pale anybody."),
    Line("pose_deg", "Head pose", NONE, 4.0, ("", "a head turned otherwise"), "Degrees by which the head is turned "
         "otherwise than the actor's."),
    Line("expression", "Expression", NONE, 0.05, ("", "another expression"), "How far lips, eyes and brows lie from "
         "the actor's, as a share of the distance between the eyes. A new face shape alone makes some of it."),
    Line("gaze", "Gaze", NONE, 0.06, ("", "lost gaze"), "How far the irises lie from where the actor's are between "
         "the corners of the eyes, as a share of an eye's width: 0.1 is some ten degrees to the side."),
    Line("mouth", "Opening of the mouth", NONE, 0.03, ("", "a mouth that does not follow"), "Difference to the "
         "actor's, as a share of the eye distance."),
    Line("eyes", "Opening of the eyes", NONE, 0.02, ("", "lids that do not follow"), "Difference to the actor's: "
         "blinks are kept when it is small."),
    Line("flicker", "Flicker", 0.8, 1.3, ("frozen or blurred", "flicker"), "Unrest of the face from frame to frame, "
         "swap over original: 1 is as calm as the original, more flickers, less is blurred or frozen."),
    Line("flicker_p95", "Flicker, worst frames", 0.7, 1.5, ("frozen or blurred", "flicker at times"), "The same for "
         "the restless twentieth of the frames."),
    Line("sharpness", "Sharpness", 0.8, 1.3, ("softer than the scene", "sharper than the scene"), "Fine detail inside "
         "the face, swap over original."),
    Line("light_de", "Light and skin tone", NONE, 6.0, ("", "other light or skin than the actor's"), "Colour "
         "difference (dE) of the coarse light on the face; some two are just visible. Another skin tone that is meant "
         "counts here too."),
    Line("texture_db", "Texture", -3.0, 3.0, ("smoothed skin", "rougher skin"), "Strength of fine texture against the "
         "original, in decibels."),
    Line("grain_db", "Grain", -3.0, 3.0, ("without the film's grain", "grainier than the film"), "Strength of the film "
         "grain on the face against the original, in decibels."),
    Line("background_db", "Everything else", 38.0, ANY, ("changed beyond the face", ""), "How unchanged the picture is "
         "away from the face: PSNR in decibels, 99 is untouched."),
    Line("timing_ms", "Timing", NONE, 0.5, ("", "pictures at other times"), "The largest difference of the times of "
         "the frames, by the clock of the sound, milliseconds."),
)  # fmt: skip
GRAPHS = (
    ("Likeness to the photo, and to the actor", ("identity", "leak")),
    ("Opening of the mouth, original and swap", ("mouth before", "mouth after")),
    ("Opening of the eyes, original and swap", ("eyes before", "eyes after")),
    ("Unrest of the face, original and swap", ("flicker before", "flicker after")),
    ("Head pose, degrees apart", ("pose_deg",)),
    ("Sharpness, swap over original", ("sharpness",)),
    ("Light, dE", ("light_de",)),
)
SOUND = {"same": ("good", "the same, packet by packet"), "changed": ("bad", "not the original's"),
         "missing": ("bad", "missing: the original has sound"), "none": ("", "the original has none")}  # fmt: skip
STYLE = """
:root{color-scheme:light dark;--ink:#1d1f23;--pale:#666c76;--line:#d9dce1;--paper:#fbfbfa}
@media(prefers-color-scheme:dark){:root{--ink:#e8e9eb;--pale:#9aa1ab;--line:#363a41;--paper:#17191c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:860px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}p,td.words{color:var(--pale)}
table{border-collapse:collapse;width:100%}td,th{padding:.45rem .6rem .45rem 0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}td.number{font-variant-numeric:tabular-nums;white-space:nowrap;font-weight:600}
.good{color:#1f8a4c}.bad{color:#c9402c}figure{display:inline-block;margin:0 .8rem .8rem 0}figcaption{font-size:.8rem;
color:var(--pale)}figure img{width:132px;height:132px;border-radius:4px;margin-right:2px}svg{width:100%;height:auto}
svg text{font-size:11px;fill:var(--pale)}
"""


def page(evaluation: Evaluation, title: str) -> str:
    """The whole page as HTML."""
    before, after = evaluation.frames
    seen = f"{evaluation.faces} of {before} frames show the face; in {evaluation.lost} of them the swap lost it."
    if before != after:
        seen += f" The clips differ in length: {before} and {after} frames; the shorter was compared."
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1><p>{seen} "
        f"Figures are measured by the models that vidswap swaps with; another judge can be stricter.</p>"
        f"<h2>Original and swap</h2>{''.join(map(_figure, evaluation.moments))}"
        f"<h2>Figures</h2><table>{_table(evaluation)}</table><h2>Over time</h2>{''.join(_graphs(evaluation))}</html>\n"
    )


def verdicts(evaluation: Evaluation) -> dict[str, str]:
    """What each figure that was measured says: "good", or what is wrong."""
    told = ((line, evaluation.figures.get(line.key)) for line in LINES)
    return {line.key: verdict for line, value in told if value is not None and (verdict := line.verdict(value))}


def write_page(out: Path, evaluation: Evaluation, title: str) -> None:
    """Write the page. Raises OutputError."""
    with as_output_error(out):
        write_whole(out, page(evaluation, title).encode(errors="backslashreplace"))  # a file's name may be no UTF-8


def _figure(moment: FacePair) -> str:
    def picture(jpeg: bytes, words: str) -> str:
        return f'<img alt="{words}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'

    pair = picture(moment.before, "original") + picture(moment.after, "swap")
    return f"<figure>{pair}<figcaption>{moment.second:.2f} s</figcaption></figure>"


def _table(evaluation: Evaluation) -> str:
    rows = ["<tr><th></th><th></th><th>good is</th><th></th></tr>"]
    for line in LINES:
        value = evaluation.figures.get(line.key)
        shown = "&ndash;" if value is None else f"{value:.3g}"
        verdict = "" if value is None else line.verdict(value)
        kind = verdict if verdict in ("", "good") else "bad"
        shown += f"<br>{escape(verdict)}" if kind == "bad" else ""
        rows.append(_row(line.name, shown, kind, line.wanted if verdict else "", line.words))
    kind, words = SOUND[evaluation.sound]
    rows.append(_row("Sound", evaluation.sound, kind, "same" if kind else "", f"The sound is {words}."))
    return "".join(rows)


def _row(name: str, shown: str, verdict: str, wanted: str, words: str) -> str:
    cells = f'<td class="number {verdict}">{shown}</td><td>{wanted}</td><td class="words">{escape(words)}</td>'
    return f"<tr><td>{escape(name)}</td>{cells}</tr>"


def _graphs(evaluation: Evaluation) -> Iterable[str]:
    for title, names in GRAPHS:
        curves = [evaluation.curves[name] for name in names if name in evaluation.curves]
        if curves:
            yield f"<p>{escape(title)}</p>{graph(curves)}"


def graph(curves: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Curves of (second, value) in one small SVG, the first one blue, the second orange."""
    seconds = [second for curve in curves for second, _ in curve]
    values = [value for curve in curves for _, value in curve]
    first, last = min(seconds), max(seconds)
    low, high = min(0.0, *values), max(1e-6, *values)

    def place(second: float, value: float) -> str:
        x = 4 + (WIDE - 56) * (second - first) / max(last - first, 1e-6)
        return f"{x:.1f},{TALL - 18 - (TALL - 26) * (value - low) / (high - low):.1f}"

    paths = [" ".join(place(*point) for point in curve) for curve in curves]
    lines = "".join(
        f'<polyline fill="none" stroke="{ink}" stroke-width="1.5" points="{path}"/>' for ink, path in zip(INKS, paths)
    )
    words = (
        f'<text x="{WIDE - 46}" y="14">{high:.3g}</text><text x="{WIDE - 46}" y="{TALL - 18}">{low:.3g}</text>'
        f'<text x="4" y="{TALL - 4}">{first:.1f} s</text><text x="{WIDE - 90}" y="{TALL - 4}">{last:.1f} s</text>'
    )
    return f'<svg viewBox="0 0 {WIDE} {TALL}" role="img">{lines}{words}</svg>'
