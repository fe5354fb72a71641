"""Write tests/vectors.py: resize worked out with exact fractions, pixel by pixel, straight from the definition."""

from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np

Rows = list[list[int]]


def cubic(x: Fraction) -> Fraction:
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)


def line(values: list[int], scale: Fraction) -> list[int]:
    """One row resized by `scale`: the kernel stretched when it shrinks, the edge repeated, halves rounded up, clipped."""
    stretch = max(Fraction(1), 1 / scale)
    out = []
    for i in range(int(len(values) * scale)):
        centre = (i + Fraction(1, 2)) / scale - Fraction(1, 2)
        near = range(floor(centre - 2 * stretch), floor(centre + 2 * stretch) + 2)
        weights = [cubic((centre - j) / stretch) for j in near]
        picked = [values[min(max(j, 0), len(values) - 1)] for j in near]
        total = sum(w * v for w, v in zip(weights, picked, strict=True)) / sum(weights)
        out.append(min(max(floor(total + Fraction(1, 2)), 0), 255))
    return out


def resize(rows: Rows, scale: Fraction) -> Rows:
    """Height first, then width."""
    columns = [line(list(column), scale) for column in zip(*rows, strict=True)]
    return [line(list(row), scale) for row in zip(*columns, strict=True)]


if __name__ == "__main__":
    noise: Rows = np.random.default_rng(2017).integers(0, 256, (16, 16)).tolist()
    values = {
        "NOISE": noise,
        "DOWN": resize(noise, Fraction(1, 4)),
        "UP": resize([row[:3] for row in noise[:2]], Fraction(4)),
        "STEP_UP": line([0, 0, 255, 255], Fraction(2)),
    }
    lines = ['"""Written by tests/make_vectors.py."""', "", *(f"{name} = {value}" for name, value in values.items()), ""]
    Path(__file__).with_name("vectors.py").write_text("\n".join(lines), encoding="utf-8")
