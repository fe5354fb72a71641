"""What the results say, in sentences made from numbers: nothing here is written by hand for a certain study."""

from typing import Any

import pandas as pd

from pipeline import comparison, pairs, tables
from pipeline.ablation import Ablation, Arm, ablations
from pipeline.comparison import BICUBIC, Study


def findings(study: Study) -> list[str]:
    """The order, every pair, the distance of features, training, and each parameter that two variants differ in."""
    found = [tables.verdict(study), *pair_sentences(study), *distance_sentences(study), *convergence(study)[1]]
    return found + [ablation_sentence(one, score) for score in _first(study) for one in ablations(study, score)]


def _first(study: Study) -> list[str]:
    return comparison.whole_scores(study)[:1]


def pair_sentences(study: Study) -> list[str]:
    """Every two rows by the first score made picture by picture."""
    return [tables.sentence(row) for row in comparison.main_differences(study).itertuples()]


def distance_sentences(study: Study) -> list[str]:
    """Whether PSNR, or whatever the first score is, and the distance of features prefer the same variant."""
    rows, score, distance = comparison.summary(study), study.scores[0], comparison.distance(study)
    if len(rows) < 2:
        return []
    best, nearest = max(rows, key=lambda name: rows[name][score]), min(rows, key=lambda name: rows[name][distance])
    ends = " to ".join(tables.number(distance, rows[nearest][f"{distance}_{end}"]) for end in ("low", "high"))
    crops = int((study.crops["variant"] == BICUBIC).sum())
    interval = f"{tables.number(distance, rows[nearest][distance])}, random halves {ends}, n = {crops} crops"
    agree = f"by {tables.label(score)} as well" if best == nearest else f"where {tables.label(score)} prefers {best}"
    return [f"Nearest to HR by {tables.label(distance)} is {nearest} ({interval}), {agree}."]


def convergence(study: Study) -> tuple[list[list[str]], list[str]]:
    """When each variant's validation PSNR reaches the level that all reach: a table, and the sentence of who is first."""
    training = study.training
    if training.empty:
        return [], []
    level = training.groupby("variant")["valid_psnr"].max().min()
    lines, patches = [["variant", f"epochs to {level:.2f} dB", "patches seen", "best", "at epoch"]], {}
    for name, rows in training.groupby("variant", sort=False):
        epoch = int(rows[rows["valid_psnr"] >= level]["epoch"].iloc[0])
        variant = study.params.models[str(name)]
        each = variant.train.get("patches_per_epoch", study.params.train.patches_per_epoch)
        top = rows.iloc[int(rows["valid_psnr"].to_numpy().argmax())]
        patches[str(name)] = epoch * each
        lines.append([str(name), str(epoch), f"{epoch * each:,}", f"{top['valid_psnr']:.2f}", str(int(top["epoch"]))])
    order = sorted(patches, key=lambda name: patches[name])
    if len(order) < 2:
        return lines, []
    seen = ", ".join(f"{name} after {patches[name]:,} patches" for name in order)
    return lines, [f"The validation PSNR that all reach ({level:.2f} dB on the crops of training) is reached by {seen}."]


def ablation_sentence(one: Ablation, score: str) -> str:
    """ "loss: l1 (edsr) against mse (edsr_mse), all else equal: no difference shown ..."."""
    values = (f"{_value(arm, one.parameter)} ({_arm(arm)})" for arm in (one.a, one.b))
    numbers = (
        f"{tables.signed(score, one.paired.difference)} (95 % {_ends(score, (one.paired.low, one.paired.high))} over {one.pictures}"
    )
    numbers += f" pictures, {_ends(score, one.seeds)} over seeds)" if one.seeds else " pictures, one seed a side)"
    return f"{one.parameter}: {' against '.join(values)}, all else equal: {_said(one)} in {tables.label(score)}, {numbers}."


def _said(one: Ablation) -> str:
    winner, few = one.a if one.paired.difference > 0 else one.b, one.pictures < pairs.FEW
    if few and not one.seeds:
        return "too few pictures to say"
    return f"{_value(winner, one.parameter)} is better{' on these pictures' * few}" if one.shown else "no difference shown"


def _value(arm: Arm, parameter: str) -> Any:
    return arm.settings.get(parameter, "absent")


def _arm(arm: Arm) -> str:
    return arm.name if len(arm.members) == 1 else f"{arm.name}, {len(arm.members)} seeds"


def _ends(score: str, interval: tuple[float, float]) -> str:
    return " to ".join(tables.signed(score, end) for end in interval)


def ablation_table(study: Study) -> list[list[str]]:
    """A row a pair of arms that differ in one parameter; without any, nothing."""
    lines = [["parameter", "a", "b", "a - b", "95 % over pictures", "95 % over seeds", "what they say"]]
    for score in _first(study):
        for one in ablations(study, score):
            sides = [f"{_value(arm, one.parameter)} ({_arm(arm)})" for arm in (one.a, one.b)]
            over = [_ends(score, (one.paired.low, one.paired.high)), _ends(score, one.seeds) if one.seeds else "one seed a side"]
            lines.append([one.parameter, *sides, tables.signed(score, one.paired.difference), *over, _said(one)])
    return lines if len(lines) > 1 else []


def checkpoints(study: Study) -> list[list[str]]:
    """The scores of every saved checkpoint of every variant."""
    saved: pd.DataFrame = study.evaluation[study.evaluation["checkpoint"].str.startswith("epoch_")]
    columns = [*study.scores, comparison.distance(study)]
    lines = [["variant", "epoch", *(tables.label(name) for name in columns)]]
    body = [
        [row["variant"], str(int(row["epoch"])), *(tables.number(name, row[name]) for name in columns)]
        for _, row in saved.iterrows()
    ]
    return [*lines, *body]
