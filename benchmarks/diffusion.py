"""What more steps and more smoothing of `embedded` do: python benchmarks/diffusion.py CLIP PHOTO

A row for `warp`, which it starts from, for each number of steps at the usual smoothing, and for each smoothing at the
usual one step, with figures of `vidswap evaluate`; --svg FILE draws them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from vidswap import Role, Settings, evaluate_clip, swap_clip
from vidswap.settings import SwapSettings

STEPS, SMOOTH = (1, 2, 4, 8), (0.0, 0.25, 0.5, 0.75, 1.0)
FIGURES = ("identity", "leak", "expression", "flicker", "sharpness", "seam_de")
WIDE, HIGH, EDGE = 250, 130, 34  # of a plot, and the room for its words


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("clip", type=Path)
    words.add_argument("photo", type=Path)
    words.add_argument("--svg", type=Path)
    options = words.parse_args()
    print("".join(f"{name:>12}" for name in ("", *FIGURES)))
    rows = dict(measured(options.clip, options.photo))
    if options.svg:
        options.svg.write_text(drawn(rows))


def measured(clip: Path, photo: Path) -> Iterator[tuple[str, Mapping[str, float | None]]]:
    """The figures of each way, by its name; each is printed as it comes."""
    ways: dict[str, dict[str, object]] = {"warp": {}}
    ways |= {f"steps {steps}": {"steps": steps} for steps in STEPS}
    ways |= {f"smooth {smooth:g}": {"smooth": smooth} for smooth in SMOOTH}
    for name, chosen in ways.items():
        engine = "warp" if name == "warp" else "embedded"
        swap = SwapSettings(engine=engine, options=tuple(chosen.items()))
        with TemporaryDirectory() as folder:
            out = Path(folder) / f"out{clip.suffix}"
            swap_clip(clip, Role(photo, "self"), out, Settings(swap=swap))
            figures = evaluate_clip(clip, out, photo).figures
        print(f"{name:>12}" + "".join(f"{figures.get(key) or 0:12.3f}" for key in FIGURES), flush=True)
        yield name, figures


def drawn(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """A plot for each figure: over the steps, and over the smoothing; a line for `warp`."""
    plots = [plot(rows, figure, (column * (WIDE + 2 * EDGE), row * (HIGH + 2 * EDGE)), ways)
             for row, figure in enumerate(FIGURES) for column, ways in enumerate(("steps", "smooth"))]  # fmt: skip
    size = f'width="{2 * (WIDE + 2 * EDGE)}" height="{len(FIGURES) * (HIGH + 2 * EDGE)}"'
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', ground, *plots, "</svg>", ""])


def plot(rows: Mapping[str, Mapping[str, float | None]], figure: str, at: tuple[int, int], ways: str) -> str:
    """One figure over the ways whose name begins so."""
    values = {name.split()[1]: row.get(figure) or 0.0 for name, row in rows.items() if name.startswith(ways)}
    every = [row.get(figure) or 0.0 for row in rows.values()]
    low, high = min(every), max(every)
    room = max(high - low, 1e-6) * 0.15

    def height(value: float) -> float:
        return HIGH * (high + room - value) / (high - low + 2 * room)

    places = [WIDE * (place + 0.5) / len(values) for place in range(len(values))]
    line = " ".join(f"{x:.1f},{height(value):.1f}" for x, value in zip(places, values.values(), strict=True))
    base = height(rows["warp"].get(figure) or 0.0)
    return "\n".join([
        f'<g transform="translate({at[0] + EDGE},{at[1] + EDGE})">',
        f'<text y="-8">{figure}, over {ways}</text><rect width="{WIDE}" height="{HIGH}" fill="none" stroke="#ccc"/>',
        f'<line x2="{WIDE}" y1="{base:.1f}" y2="{base:.1f}" stroke="#999" stroke-dasharray="4"/>',
        f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>',
        *(f'<text x="{x:.1f}" y="{HIGH + 14}" text-anchor="middle">{word}</text>'
          for x, word in zip(places, values, strict=True)),
        *(f'<text x="-4" y="{height(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>' for value in (low, high)),
        "</g>",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
