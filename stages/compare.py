"""Stage compare: the results of all variants side by side, as numbers, as charts' tables, and as a page."""

import json
from pathlib import Path

from pipeline import comparison, config, datacard, gallery, reference, report, shards, tables
from pipeline.files import write_csv, write_json, write_text
from stages import command


def main(
    data: Path,
    card: Path,
    crops: Path,
    results: Path,
    training: Path,
    evaluation: Path,
    summary: Path,
    table: Path,
    differences: Path,
    curves: Path,
    examples: Path,
    page: Path,
    params: Path = Path("params.yaml"),
) -> None:
    study = comparison.load(config.load(params), training, evaluation, results)
    comparison.prune(study, training, evaluation, summary.parent)
    write_json(summary, comparison.summary(study))
    facts = json.loads(card.read_text(encoding="utf-8"))
    write_text(table, tables.markdown(study, facts))
    write_csv(differences, comparison.differences(study))
    for name, rows in {**comparison.curves(study), "channels": datacard.channels(facts)}.items():
        write_csv(curves / f"{name}.csv", rows)
    sources = gallery.Sources(study, shards.load(data), reference.load(crops), page)
    report.write_examples(sources, examples)
    report.write_page(sources, facts)


if __name__ == "__main__":
    command.run(main)
