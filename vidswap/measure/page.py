"""An Evaluation -> one web page that needs no other file: verdicts in plain words, faces side by side, curves."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from vidswap.files import as_output_error, write_whole
from vidswap.measure import measures
from vidswap.measure.compare import Evaluation
from vidswap.measure.portrayal import FacePair, Portrayal, all_figures
from vidswap.measure.shots import ShotEvaluation

WIDE, TALL = 640, 96  # of a graph, pixels
INKS = ("#2f6fde", "#d9622b")
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
    several = len(evaluation.persons) > 1
    persons = "".join(_section(each, evaluation, f"Person {each.person}: " if several else "")
                      for each in evaluation.persons)  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1><p>Figures are measured by the "
        f"models that vidswap swaps with; another judge can be stricter.</p>{persons}{_shots(evaluation)}</html>\n"
    )


def _section(one: Portrayal, evaluation: Evaluation, whose: str) -> str:
    """What there is to say of one person."""
    before, after = evaluation.frames
    seen = f"{one.faces} of {before} frames show the face; in {one.lost} of them the swap lost it."
    if before != after:
        seen += f" The clips differ in length: {before} and {after} frames; the shorter was compared."
    return (
        f"<h2>{whose}Original and swap</h2><p>{seen}</p>{''.join(map(_figure, one.moments))}"
        f"<h2>{whose}Figures</h2><table>{_table(one, evaluation.sound)}</table>"
        f"<h2>{whose}Over time</h2>{''.join(_graphs(one))}"
    )


def _shots(evaluation: Evaluation) -> str:
    """Which shots fell short, by whom, why, and how that looks."""
    rows = "".join(map(_shot, evaluation.shots))
    return f"<h2>Shots</h2><table><tr><th></th><th>from, to</th><th></th></tr>{rows}</table>"


def _shot(shot: ShotEvaluation) -> str:
    wrong = "<br>".join(escape(str(each)) for each in shot.fell_short)
    said = wrong or ("good" if shot.persons else "nobody was swapped")
    kind = "bad" if shot.fell_short else "good" if shot.persons else ""
    pairs = "".join(_figure(pair) for each in shot.persons for pair in each.moments)
    return (f'<tr><td class="number {kind}">{shot.number}</td><td>{shot.when}</td>'
            f'<td class="words">{said}<br>{pairs}</td></tr>')  # fmt: skip


def write_page(out: Path, evaluation: Evaluation, title: str) -> None:
    """Write the page. Raises OutputError."""
    with as_output_error(out):
        write_whole(out, page(evaluation, title).encode(errors="backslashreplace"))  # a file's name may be no UTF-8


def _figure(moment: FacePair) -> str:
    def picture(jpeg: bytes, words: str) -> str:
        return f'<img alt="{words}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'

    pair = picture(moment.before, "original") + picture(moment.after, "swap")
    return f"<figure>{pair}<figcaption>{moment.second:.2f} s</figcaption></figure>"


def _table(one: Portrayal, sound: str) -> str:
    rows = ["<tr><th></th><th></th><th>good is</th><th></th></tr>"]
    for figure in all_figures():
        value, verdict = one.figures.get(figure.name), one.verdicts.get(figure.name, "")
        shown = "&ndash;" if value is None else f"{value:.3g}"
        kind = verdict if verdict in ("", "good") else "bad"
        shown += f"<br>{escape(verdict)}" if kind == "bad" else ""
        rows.append(_row(figure.title, shown, kind, figure.wanted if verdict else "", figure.words))
    kind, words = SOUND[sound]
    rows.append(_row("Sound", sound, kind, "same" if kind else "", f"The sound is {words}."))
    return "".join(rows)


def _row(name: str, shown: str, verdict: str, wanted: str, words: str) -> str:
    cells = f'<td class="number {verdict}">{shown}</td><td>{wanted}</td><td class="words">{escape(words)}</td>'
    return f"<tr><td>{escape(name)}</td>{cells}</tr>"


def _graphs(one: Portrayal) -> Iterator[str]:
    drawn: dict[str, list[Sequence[tuple[float, float]]]] = {measure.graph: [] for measure in measures.MEASURES}
    for measure in measures.MEASURES:
        names = (measure.name, f"{measure.name} before", f"{measure.name} after")
        drawn[measure.graph] += [one.curves[name] for name in names if name in one.curves]
    yield from (f"<p>{escape(title)}</p>{graph(curves)}" for title, curves in drawn.items() if title and curves)


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
