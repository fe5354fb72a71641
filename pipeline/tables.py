"""The results in words and tables: for the page, and as metrics/results.md."""

from typing import Any

import numpy as np

from pipeline import comparison, pairs
from pipeline.comparison import BICUBIC, Study
from pipeline.protocols import LPIPS, PROTOCOLS

LR = {"bicubic": "by the benchmarks' bicubic (MATLAB's imresize)", "official": "as published with the data set"}
LABELS = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "fid": "FID",
    LPIPS: "LPIPS 0.1 (AlexNet)",
    "best_epoch": "best epoch",
}
DIGITS = {"psnr": 2, "best": 0, "kid": 3, "fd_": 1, "fid": 1, "multiply": 1, "receptive": 0}  # all else, as SSIM: 4


def verdict(study: Study) -> str:
    """One computed sentence: the order of the variants by PSNR on Y, or by the first metric, against bicubic."""
    rows = comparison.summary(study)
    metric = study.scores[0]
    order = sorted(rows, key=lambda name: rows[name][metric], reverse=True)
    parts = []
    for name in order:
        gain = rows[name][metric] - rows[BICUBIC][metric] if rows[name][metric] != rows[BICUBIC][metric] else 0.0
        parts.append(name if name == BICUBIC else f"{name} ({signed(metric, gain, more=0)})")
    return f"By {label(metric)}, difference to bicubic in brackets: {' > '.join(parts)}."


def table(study: Study) -> list[list[str]]:
    """The final table as text: a header row, bicubic, the variants, and the mean and deviation of each group of variants."""
    rows = comparison.summary(study)
    kid = next(name for name in rows[BICUBIC] if name.startswith("kid"))
    columns = [*study.scores, comparison.distance(study), kid, "best_epoch"]
    lines = [["variant", *(label(name) for name in columns)]]
    lines += [[variant, *(_cell(values, name) for name in columns)] for variant, values in rows.items()]
    for members in study.groups:
        if len(members) > 1:
            spread = [
                (np.mean(found), np.std(found, ddof=1)) for found in ([rows[one][name] for one in members] for name in columns)
            ]
            cells = [f"{number(name, mean)} ± {number(name, std)}" for name, (mean, std) in zip(columns, spread, strict=True)]
            lines.append([f"{study.params.models[members[0]].group}: mean of {len(members)}", *cells])
    return lines


def _cell(values: dict[str, Any], name: str) -> str:
    text = number(name, values.get(name))
    if f"{name}_low" in values:
        text += f" ({number(name, values[f'{name}_low'])} to {number(name, values[f'{name}_high'])})"
    return text + (f" ± {number(name, values[f'{name}_deviation'])}" if f"{name}_deviation" in values else "")


def set_tables(study: Study) -> dict[str, list[list[str]]]:
    """Title -> table of each test set."""
    rows, scores = comparison.summary(study), comparison.whole_scores(study)
    return {
        f"{name}, {(study.images['set'] == name).sum() // len(rows)} pictures": [
            ["variant", *(label(score) for score in scores)],
            *([variant, *(number(score, values[name][score]) for score in scores)] for variant, values in rows.items()),
        ]
        for name in study.params.evaluate.sets
    }


def cost_table(study: Study) -> list[list[str]]:
    """Parameters, multiply-adds and receptive field of each variant."""
    rows = comparison.summary(study)
    head = ["variant", "parameters", "multiply-adds for 1280x720 (10^9)", "receptive field (LR pixels)"]
    keys = ("parameters", "multiply_adds", "receptive_field")
    body = [
        [name, *(number(key, rows[name].get(key)) for key in keys)] for name in study.params.models if "parameters" in rows[name]
    ]
    return [head, *([*line[:3], "everything" if line[3] == "-" else line[3]] for line in body)]


def difference_table(study: Study) -> dict[str, list[list[str]]]:
    """Title -> the differences between every two rows on the validation pictures; nothing where there are no two."""
    found = comparison.main_differences(study)
    if found.empty:
        return {}
    count = int(found["pictures"].iloc[0])
    title = f"Differences on the {count} validation picture{'s' * (count > 1)}"
    title += " (so few that intervals are rough)" * (count < pairs.FEW)
    lines = [[sentence(row), f"{row.p_value:.2g}"] for row in found.itertuples()]
    return {title: [["paired over pictures, bootstrap interval", "p (sign test)"], *lines]}


def sentence(row: Any) -> str:
    """ "edsr beats srresnet by 0.41 in PSNR (dB), benchmark_y (95 % 0.22 to 0.63), better on 9 of 9 pictures", or what is so."""
    what, low, high = label(row.score), number(row.score, row.low), number(row.score, row.high)
    pictures = f"{row.pictures} picture{'s' * (row.pictures > 1)}"
    if not row.shown:
        return f"{row.a} against {row.b}: no difference shown in {what} (95 % {low} to {high}, {pictures})"
    first, second, wins = (row.a, row.b, row.wins) if row.difference > 0 else (row.b, row.a, row.losses)
    if first == row.b:
        low, high = number(row.score, -row.high), number(row.score, -row.low)
    by = f"by {number(row.score, abs(row.difference))} in {what} (95 % {low} to {high})"
    if row.pictures < pairs.FEW:
        return f"{first} is ahead of {second} {by}, on {wins} of {pictures}: too few to say that it is better"
    return f"{first} beats {second} {by}, better on {wins} of {pictures}"


def protocol(study: Study) -> str:
    """How the numbers were made, in one paragraph."""
    settings, scale, dataset = study.params.evaluate, study.params.scale, study.params.dataset
    pictures = study.valid["image"].nunique()
    crops = settings.crops_per_image * pictures
    named = "; ".join(f"{name}: {PROTOCOLS[name].text}" for name in settings.protocols)
    return (
        f"x{scale}, data set {dataset.source}, {pictures} validation pictures; LR {LR[study.params.prepare.lr]}; SR rounded to "
        f"8 bits. {named}; scale is {scale}, means are over pictures or {crops} fixed crops of {settings.crop}x{settings.crop}. "
        f"Distances (in brackets 95 % of those of random halves) and KID (with its deviation): over the same crops, n = {crops}, "
        f"features of {settings.frechet.features}; few samples, so only compare within this table. "
        "Each variant's row is its best checkpoint by validation PSNR and loss together."
    )


def label(name: str) -> str:
    """psnr_benchmark_y -> "PSNR (dB), benchmark_y"."""
    metric, _, protocol = name.partition("_")
    return f"{LABELS.get(metric, metric)}, {protocol}" if protocol in PROTOCOLS else LABELS.get(name, name)


def number(name: str, value: float | None) -> str:
    """A value as tables show it: PSNR with 2 digits, SSIM with 4, infinity as inf."""
    if value is None or np.isnan(value):
        return "-"
    return f"{value:,.0f}" if name == "parameters" else f"{value:.{_digits(name)}f}"


def signed(name: str, value: float, more: int = 1) -> str:
    """A difference with its sign, and `more` digits than the value itself has."""
    return f"{value:+.{_digits(name) + more}f}"


def _digits(name: str) -> int:
    return next((digits for prefix, digits in DIGITS.items() if name.startswith(prefix)), 4)


def markdown(study: Study, card: dict[str, Any]) -> str:
    """metrics/results.md: verdict, tables, protocol, and what was used of each picture."""
    used = [
        f"{side} {row['name']} {row['used'][0]}x{row['used'][1]}"
        + ("" if row["used"] == row["found"] else f" of {row['found'][0]}x{row['found'][1]}")
        for side in ("train", "valid")
        for row in card[side]["pictures"]
    ]
    counts = [f"{len(card[side]['pictures'])} {side}, {card[side]['pixels'] / 1e6:.1f} Mpixel" for side in ("train", "valid")]
    shown = "; ".join(used if len(used) <= 20 else counts)
    more = {**set_tables(study), "Cost": cost_table(study), **difference_table(study)}
    added = "\n\n".join(f"{title}:\n\n{_lines(cells)}" for title, cells in more.items())
    pictures = f"Pictures used (height x width, cropped to the scale): {shown}."
    return f"{verdict(study)}\n\n{_lines(table(study))}\n\n{protocol(study)}\n\n{added}\n\n{pictures}\n"


def _lines(cells: list[list[str]]) -> str:
    header, *rows = cells
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] + ["---:"] * (len(header) - 1), *rows])
