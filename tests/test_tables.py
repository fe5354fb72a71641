"""What tables and findings say of planted results."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import ablation, comparison, findings, tables
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
    crops = pd.DataFrame({"variant": variant, "image": names} for variant in every)
    return comparison.Study(Params.model_validate(params), pd.DataFrame(), evaluation, images, crops, Path())


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
    assert tie.endswith(", 20 pictures)")
    outlier = one.copy()
    outlier[3] += 9
    assert "no difference shown" in said(planted({"one": one.tolist(), "two": outlier.tolist()}))
    assert said(planted({"one": [31.0], "two": [32.0]})).endswith("benchmark_y (95 % -inf to inf, 1 picture)")
    few = said(planted({"one": [31.0, 31.5, 32.0], "two": [31.4, 32.0, 32.6]}))
    assert few == (
        "two is ahead of one by 0.50 in PSNR (dB), benchmark_y (95 % 0.40 to 0.60), on 3 of 3 pictures: "
        "too few to say that it is better"
    )


def test_equal_variants() -> None:
    study = planted({"one": [31.0, 32.0], "two": [31.0, 32.0]})
    assert said(study) == "two against one: no difference shown in PSNR (dB), benchmark_y (95 % 0.00 to 0.00, 2 pictures)"
    assert findings.ablation_table(study) == []  # not one parameter differs


def ablated(one: list[list[float]], two: list[list[float]]) -> ablation.Ablation:
    """Two groups that differ in their loss; a list a seed."""
    arms = {"l1": (one, {"loss": "l1"}), "mse": (two, {"loss": "mse"})}
    variants = {
        f"{name}_{seed}": (values, {**changes, "group": name, "seed": seed})
        for name, (seeds, changes) in arms.items()
        for seed, values in enumerate(seeds)
    }
    study = planted({name: values for name, (values, _) in variants.items()}, **{name: of for name, (_, of) in variants.items()})
    assert study.faces == ["l1_0", "mse_0"]
    assert {row.a for row in comparison.main_differences(study).itertuples()} == {
        "l1_0",
        "mse_0",
    }
    (found,) = ablation.ablations(study, "psnr_benchmark_y")
    return found


def test_an_ablation_that_is_shown() -> None:
    pictures = np.linspace(29, 33, 8)
    found = ablated(
        [(pictures + 0.5 + 0.01 * seed).tolist() for seed in range(3)], [(pictures + 0.01 * seed).tolist() for seed in range(3)]
    )
    assert (found.parameter, found.a.name, found.b.name) == ("loss", "l1", "mse")
    assert found.a.members == ["l1_0", "l1_1", "l1_2"]
    assert found.paired.difference == pytest.approx(0.5)
    half = 2.7764 * 0.01 * np.sqrt(2 / 3)  # Student's t with 4 degrees of freedom, both deviations 0.01
    assert found.seeds == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    assert found.shown
    assert findings.ablation_sentence(found, "psnr_benchmark_y").startswith(
        "loss: l1 (l1, 3 seeds) against mse (mse, 3 seeds), all else equal: l1 is better in PSNR (dB), benchmark_y, +0.500"
    )


def test_ablations_that_are_not_shown() -> None:
    pictures = np.linspace(29, 33, 8)
    noisy = ablated(
        [(pictures + 0.1 * seed).tolist() for seed in range(3)], [(pictures + 0.02 + 0.1 * seed).tolist() for seed in range(3)]
    )
    assert noisy.paired.shown  # equally much on every picture
    assert not noisy.shown  # and less than seeds differ
    assert "no difference shown in PSNR (dB), benchmark_y, -0.020" in findings.ablation_sentence(noisy, "psnr_benchmark_y")
    few = ablated([[30.0, 31.0, 32.0]], [[30.5, 31.4, 32.6]])
    assert not few.shown
    assert "too few pictures to say in PSNR (dB), benchmark_y, -0.500" in findings.ablation_sentence(few, "psnr_benchmark_y")
    for_these = ablated([[30.0, 31.0], [30.01, 31.01]], [[30.5, 31.5], [30.51, 31.51]])
    assert for_these.shown
    assert "mse is better on these pictures in PSNR (dB), benchmark_y" in findings.ablation_sentence(for_these, "psnr_benchmark_y")


def test_convergence_counts_patches() -> None:
    rows = [("one", epoch, psnr) for epoch, psnr in enumerate((28.0, 29.5, 30.0), 1)]
    rows += [("two", epoch, psnr) for epoch, psnr in enumerate((27.0, 28.0, 29.0), 1)]
    study = planted({"one": [31.0], "two": [30.0]}, two={"train": {"patches_per_epoch": 10}})
    table, sentences = findings.convergence(study._replace(training=pd.DataFrame(rows, columns=["variant", "epoch", "valid_psnr"])))
    assert table[0][1] == "epochs to 29.00 dB"
    assert table[1:] == [["one", "2", "8", "30.00", "3"], ["two", "3", "30", "29.00", "3"]]
    assert sentences[0].endswith("is reached by one after 8 patches, two after 30 patches.")


def test_a_group_shows_mean_and_deviation() -> None:
    members = {name: {"group": "edsr", "seed": seed} for seed, name in enumerate("abc")}
    study = planted({"a": [31.0, 31.0], "b": [31.2, 31.2], "c": [31.4, 31.4]}, **members)
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
