"""The results of all variants side by side: read, summarised, and compared pair by pair."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline import pairs
from pipeline.config import Evaluate, Params
from pipeline.errors import InputError, attempt, together
from pipeline.protocols import LPIPS, PROTOCOLS

BICUBIC = "bicubic"
HISTORY = ["epoch", "lr", "train_l1", "train_mse", "valid_l1", "valid_mse", "valid_psnr"]


class Study(NamedTuple):
    """All results. `training` and `evaluation` are long tables (variant, epoch, ...); `images` has a row a picture, `crops` a row a
    fixed crop, in their order.

    A variant scored as an ensemble, too, is there as <variant>+.
    """

    params: Params
    training: pd.DataFrame
    evaluation: pd.DataFrame
    images: pd.DataFrame
    crops: pd.DataFrame
    results: Path

    @property
    def variants(self) -> list[str]:
        return [BICUBIC, *self.params.models]

    @property
    def groups(self) -> list[list[str]]:
        """The variants, those of one group together, every other by itself."""
        found: dict[tuple[bool, str], list[str]] = {}
        for name, variant in self.params.models.items():
            found.setdefault((variant.group is None, variant.group or name), []).append(name)
        return list(found.values())

    @property
    def faces(self) -> list[str]:
        """The variants, of a group its first alone: what is compared two by two."""
        return [members[0] for members in self.groups]

    @property
    def valid(self) -> pd.DataFrame:
        """`images` without the test sets."""
        return self.images[self.images["set"] == "valid"]

    @property
    def rows(self) -> list[str]:
        """Bicubic, the variants, and each one's ensemble."""
        scored = set(self.evaluation["variant"])
        return [name for variant in self.variants for name in (variant, f"{variant}+") if name in scored]

    @property
    def scores(self) -> list[str]:
        """The names <metric>_<protocol>, in the order of params, and LPIPS where it is asked for."""
        settings = self.params.evaluate
        return _named(settings, settings.protocols) + [LPIPS] * bool(settings.lpips)


def load(params: Params, training: Path, evaluation: Path, results: Path) -> Study:
    """Read the results of the variants that stand in params, and of no other. Raises InputError, for all that is wrong at once."""
    every = [BICUBIC, *params.models]
    scores = {crops: score_names(params.evaluate, crops) for crops in (False, True)}
    wanted = [
        [(training / f"{name}.csv", name, "train", HISTORY) for name in params.models],
        [(evaluation / f"{name}.csv", name, "evaluate", ["checkpoint", *scores[False], *scores[True]]) for name in every],
        [(results / name / "images.csv", name, "evaluate", ["set", "image", *scores[False]]) for name in every],
        [(results / name / "crops.csv", name, "evaluate", ["image", *scores[True]]) for name in every],
    ]
    found = iter(together(attempt(_read, *one) for group in wanted for one in group))
    tables = [pd.concat([next(found) for _ in group] or [pd.DataFrame()]) for group in wanted]
    return Study(params, tables[0], tables[1], tables[2], tables[3], results)


def score_names(settings: Evaluate, crops: bool) -> list[str]:
    """The names <metric>_<protocol> of the scores that are made of crops, or of whole pictures, where LPIPS is one of them."""
    protocols = [name for name in settings.protocols if PROTOCOLS[name].crops == crops]
    return _named(settings, protocols) + [LPIPS] * bool(settings.lpips and not crops)


def _named(settings: Evaluate, protocols: Sequence[str]) -> list[str]:
    return [f"{metric}_{protocol}" for protocol in protocols for metric in settings.metrics]


def rerun(variant: str, stage: str = "evaluate") -> str:
    """The command that makes a variant's results again."""
    return f"run: dvc repro --force --single-item {variant if variant == BICUBIC else f'{stage}@{variant}'}, then: dvc repro"


def _read(path: Path, variant: str, stage: str, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"image": str, "set": str}, keep_default_na=False, na_values=[""])  # "0801", "NA": names
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        found = "none" if isinstance(error, FileNotFoundError | pd.errors.EmptyDataError) else str(error).splitlines()[0]
        raise InputError(f"{path}: expected the results of {variant}, found {found}; {rerun(variant, stage)}") from None
    if missing := [name for name in columns if name not in table]:
        raise InputError(
            f"{path}: expected the columns {', '.join(columns)}, found no {', '.join(missing)}; {rerun(variant, stage)}"
        )
    names = variant if "checkpoint" not in table else table["checkpoint"].map(lambda name: variant + "+" * (name == "best+"))
    table.insert(0, "variant", names)
    return table


def prune(study: Study, training: Path, evaluation: Path, scores: Path) -> None:
    """Delete the results of variants that are no longer in params."""
    for path in [*training.glob("*.csv"), *evaluation.glob("*.csv")]:
        if path.stem not in study.variants:
            path.unlink()
            (scores / f"{path.stem}.json").unlink(missing_ok=True)
    for folder in study.results.iterdir():
        if folder.is_dir() and folder.name not in study.variants:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def summary(study: Study) -> dict[str, dict[str, Any]]:
    """Row -> metric -> value of its best checkpoint, best_epoch (absent for bicubic), and for each test set its means."""
    rows = {}
    for name in study.rows:
        last = study.evaluation[study.evaluation["variant"] == name].iloc[-1].drop(["variant", "checkpoint"])
        values: dict[str, Any] = {str(key): float(value) for key, value in last.items() if pd.notna(value)}
        epoch = values.pop("epoch", None)
        own = study.images[study.images["variant"] == name]
        sets = {one: own[own["set"] == one][whole_scores(study)].mean().to_dict() for one in study.params.evaluate.sets}
        rows[name] = values | ({} if epoch is None else {"best_epoch": int(epoch)}) | sets
    return rows


def distance(study: Study) -> str:
    """The name of the Fréchet distance, which tells its features: fid, or fd_<network>."""
    columns = [str(name) for name in study.evaluation]
    return next(name for name in columns if f"{name}_low" in columns)


def whole_scores(study: Study) -> list[str]:
    """The scores that are made picture by picture."""
    return score_names(study.params.evaluate, crops=False)


def sign(score: str) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if score == LPIPS else 1


def by_picture(images: pd.DataFrame, score: str) -> pd.DataFrame:
    """A row a picture, a column a variant: its score, negated where less is better, so that more always is."""
    return images.pivot(index="image", columns="variant", values=score) * sign(score)


def differences(study: Study) -> pd.DataFrame:
    """Every two rows on every set by every score made picture by picture: what `pairs.compare` finds.

    A positive difference is in favour of `a`, also for LPIPS, of which less is better.
    """
    members = [(name, images, score) for name, images in study.images.groupby("set", sort=False) for score in whole_scores(study)]
    return pd.DataFrame(row for one in members for row in _paired(*one, study.rows))


def main_differences(study: Study) -> pd.DataFrame:
    """Those of `differences` that people read: the first score on the validation pictures, of a group its first variant alone."""
    shown = [row for row in study.rows if row.rstrip("+") in (BICUBIC, *study.faces)]
    return pd.DataFrame(row for score in whole_scores(study)[:1] for row in _paired("valid", study.valid, score, shown))


def _paired(set_name: Any, images: pd.DataFrame, score: str, rows: list[str]) -> Iterator[dict[str, Any]]:
    values = by_picture(images, score)
    for a, b in combinations(rows[::-1], 2):
        paired = pairs.compare(values[a].to_numpy(), values[b].to_numpy())
        about = {"set": set_name, "score": score, "a": a, "b": b, "pictures": len(values)}
        yield {**about, **paired._asdict(), "shown": paired.shown}


def curves(study: Study) -> dict[str, pd.DataFrame]:
    """What `dvc plots` draws: a row a variant and epoch, of training and of the saved checkpoints, and a row a variant and picture.

    The Fréchet distance is called frechet here, whatever its features are, so that its chart need not know them.
    """
    saved = study.evaluation[study.evaluation["checkpoint"].str.startswith("epoch_")].dropna(axis=1)
    saved = saved.astype({"epoch": int}) if len(saved) else saved
    named = {distance(study): "frechet"}
    evaluation = saved.drop(columns="checkpoint").rename(columns=named)
    return {"training": study.training, "evaluation": evaluation, "pictures": _pictures(study)}


def _pictures(study: Study) -> pd.DataFrame:
    """A row a variant and validation picture: its first score, and bicubic's."""
    columns = {"variant": "variant", "image": "image", **dict.fromkeys(whole_scores(study)[:1], "score")}
    rows = study.valid[list(columns)].rename(columns=columns).reindex(columns=["variant", "image", "score"])
    bicubic = rows[rows["variant"] == BICUBIC].drop(columns="variant").rename(columns={"score": "bicubic"})
    return rows[rows["variant"] != BICUBIC].merge(bicubic, on="image")
