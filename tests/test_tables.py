"""What the tables say of planted results."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import comparison, tables
from pipeline.config import Params
from tests.repository import tiny_params


def planted(scores: dict[str, list[float]], **models: dict[str, Any]) -> comparison.Study:
    """A study whose PSNR by `benchmark_y` is as given, a list a variant; bicubic scores 30 on every picture."""
    params = tiny_params()
    params["models"] = {name: params["models"]["edsr"] | models.get(name, {}) for name in scores}
    params["evaluate"] |= {"metrics": ["psnr"], "protocols": ["benchmark_y"]}
    every = {"bicubic": [30.0] * len(next(iter(scores.values()))), **scores}
    names = [f"{number:04d}" for number in range(len(every["bicubic"]))]
    column = "psnr_benchmark_y"
    images = pd.concat(
        pd.DataFrame({"variant": variant, "set": "valid", "image": names, column: values}) for variant, values in every.items()
    )
    rest = {"fd_test": 9.0, "fd_test_low": 8.0, "fd_test_high": 10.0, "kid_test": 0.5, "kid_test_deviation": 0.1, "epoch": 3.0}
    evaluation = pd.DataFrame(
        {"variant": variant, "checkpoint": "best", column: float(np.mean(values)), **rest} for variant, values in every.items()
    )
    return comparison.Study(Params.model_validate(params), pd.DataFrame(), evaluation, images, None)  # type: ignore[arg-type]


def said(study: comparison.Study) -> str:
    """The sentence about the two variants, the last and the first."""
    rows = comparison.differences(study)
    return tables.sentence(next(row for row in rows.itertuples() if "bicubic" not in (row.a, row.b)))


def test_a_clear_win_and_a_clear_loss() -> None:
    one = [31.0, 31.2, 30.8, 31.1, 30.9, 31.3]
    two = [value + 0.4 + 0.05 * (number % 3) for number, value in enumerate(one)]
    win = said(planted({"one": one, "two": two}))
    assert win.startswith("two beats one by 0.45 in PSNR (dB), benchmark_y (95 % 0.4")
    assert win.endswith("better on 6 of 6 pictures")
    loss = said(planted({"one": two, "two": one}))
    assert loss.startswith("one beats two by 0.45 in PSNR (dB), benchmark_y (95 % 0.4")
    assert loss.endswith("better on 6 of 6 pictures")


def test_a_tie_an_outlier_and_too_few() -> None:
    rng = np.random.default_rng(5)
    one = rng.normal(31, 1, 20)
    tie = said(planted({"one": one.tolist(), "two": (one + np.tile([0.1, -0.1], 10)).tolist()}))
    assert tie.startswith("two against one: no difference shown in PSNR (dB), benchmark_y (95 % -0.")
    outlier = one.copy()
    outlier[3] += 9
    assert "no difference shown" in said(planted({"one": one.tolist(), "two": outlier.tolist()}))
    assert said(planted({"one": [31.0], "two": [32.0]})).endswith(
        "no difference shown in PSNR (dB), benchmark_y (95 % -inf to inf)"
    )


def test_equal_variants() -> None:
    assert "no difference shown" in said(planted({"one": [31.0, 32.0], "two": [31.0, 32.0]}))


def test_a_group_shows_mean_and_deviation() -> None:
    group = {"group": "edsr"}
    study = planted({"a": [31.0, 31.0], "b": [31.2, 31.2], "c": [31.4, 31.4]}, a=group, b=group, c=group)
    lines = tables.table(study)
    assert lines[-1][:2] == ["edsr: mean of 3", "31.20 ± 0.20"]
    assert [line[0] for line in lines] == ["variant", "bicubic", "a", "b", "c", "edsr: mean of 3"]
    assert lines[1][2] == "9.0 (8.0 to 10.0)"
    assert lines[1][3] == "0.500 ± 0.100"


def test_labels_name_the_protocol() -> None:
    assert tables.label("psnr_benchmark_y") == "PSNR (dB), benchmark_y"
    assert tables.label("ssim_study") == "SSIM, study"
    assert tables.label("fd_efficientnet_lite0") == "fd_efficientnet_lite0"
    assert tables.label("fid") == "FID"


@pytest.mark.parametrize("value, text", [(float("inf"), "inf"), (None, "-"), (30.126, "30.13")])
def test_numbers(value: float | None, text: str) -> None:
    assert tables.number("psnr_benchmark_y", value) == text
