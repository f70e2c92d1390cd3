"""The summary of a report, made from the records of cells."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import numpy as np

from image_sweeps.cell import commands
from image_sweeps.config.schema import GROUPS, SEED
from image_sweeps.report.answer import answer
from image_sweeps.report.content import FORMAT, Best, CellRow, Configuration, Question, Summary
from image_sweeps.report.design import Design
from image_sweeps.report.effects import CERTAIN, Grid, effects, from_best, interactions
from image_sweeps.report.record import CHOSEN_BY, MEASURE, Artifacts, History, Record, Subject
from image_sweeps.report.search import SearchSummary, sentences, summed_up
from image_sweeps.report.statistics import CONFIDENCE, estimate
from image_sweeps.report.test_errors import best_of, mcnemar_comparisons, mixups, worst_classes

SHARED = (*GROUPS, "optimizer.lr", "epochs", "batch_size", "dataset.image_size", "precision")
"""The settings that a report mentions if all cells have the same value."""


def summarise(subject: Subject, design: Design, histories: Mapping[str, History], artifacts: Artifacts) -> Summary:
    """Return the summary of the cells of `subject`, compared as `design` says.

    Args:
        subject: the cells.
        design: the design of their comparison.
        histories: the histories by run id; the time that a cell took is known only if its history is there.
        artifacts: the files of the runs.
    """
    seconds = {run_id: float(history.epoch_s.sum()) for run_id, history in histories.items()}
    ranked = _ranked(design, seconds)
    preferred = sorted(ranked, key=lambda pair: (not pair[1].chosen, -pair[1].val_accuracy.mean))
    finished = [design.finished(c) for c, _ in preferred]
    best = _best(best_of(finished[0]), artifacts) if finished else None
    question = _question(subject, design)
    configurations = [configuration for _, configuration in ranked]
    grid = Grid(design.factors, design.configurations, design.values(), design.overlap)
    found, dependent = effects(grid), interactions(grid)
    cells = list({cell.id: cell for cell in (*subject.cells, *subject.trials)}.values())
    counts: Counter[str] = Counter(cell.status for cell in cells)
    search = _search(subject)
    found_out = answer(question, configurations, found, dependent, best, Counter(cell.status for cell in subject.cells))
    return Summary(
        format=FORMAT,
        title=subject.title,
        written=datetime.now().astimezone().isoformat(timespec="seconds"),
        sweep=subject.sweep,
        created=subject.created,
        command=subject.command,
        experiment=subject.experiment,
        filter=subject.filter,
        measure=MEASURE,
        chosen_by=CHOSEN_BY,
        confidence=CONFIDENCE,
        certain=CERTAIN,
        overlap=design.overlap,
        counts=counts,
        question=question,
        answer=[*(sentences(search) if search else ()), *found_out],
        configurations=configurations,
        effects=found,
        interactions=dependent,
        best=best,
        comparisons=mcnemar_comparisons(finished, artifacts),
        cells=[_row(cell, seconds) for cell in cells],
        more_seeds=_more_seeds(subject, design),
        to_finish=_to_finish(subject),
        search=search,
    )


def _search(subject: Subject) -> SearchSummary | None:
    if subject.search is None:
        return None
    confirmed = any(cell.id in subject.search.confirmed for cell in subject.cells)
    return summed_up(subject.search, confirmed)


def _question(subject: Subject, design: Design) -> Question:
    shared = {}
    for key in SHARED:
        values = {cell.choices.get(key, cell.params.get(key)) for cell in subject.cells if cell.params}
        if len(values) == 1 and (value := values.pop()) is not None:
            shared[key] = value
    sizes = {tuple(cell.num_images.items()) for cell in subject.cells if cell.num_images}
    num_images = dict(sizes.pop()) if len(sizes) == 1 else {}
    return Question(design.factors, design.follows, design.replicates, shared, num_images)


def _ranked(design: Design, seconds: Mapping[str, float]) -> list[tuple[int, Configuration]]:
    """Return the index in the design and the summary of each configuration with a finished cell, by test accuracy."""
    test, val = design.values(), design.values(CHOSEN_BY)
    there = [c for c in range(len(design.configurations)) if design.finished(c)]
    if not there:
        return []
    estimates = {c: (estimate(test[[c]], design.overlap), estimate(val[[c]], design.overlap)) for c in there}
    losses = design.values("best/val_loss")
    chosen = max(there, key=lambda c: (np.nanmean(val[c]), -np.nanmean(losses[c])))
    differences = from_best(Grid(design.factors, design.configurations, test, design.overlap), chosen)
    found = []
    for c in there:
        test_accuracy, val_accuracy = estimates[c]
        assert test_accuracy is not None
        assert val_accuracy is not None
        difference, p_holm = differences[c]
        cells = design.finished(c)
        times = [seconds[str(cell.run_id)] for cell in cells if cell.run_id in seconds]
        sizes = {int(cell.params["num_parameters"]) for cell in cells}
        configuration = Configuration(
            name=design.name(c),
            levels={key: cells[0].levels[key] for key in (*design.factors, *design.follows) if key in cells[0].levels},
            num_cells=len(design.members[c]),
            num_finished=len(cells),
            test_accuracy=test_accuracy,
            val_accuracy=val_accuracy,
            seconds=float(np.mean(times)) if times else None,
            num_parameters=sizes.pop() if len(sizes) == 1 else None,
            chosen=c == chosen,
            difference=difference,
            p_holm=p_holm,
            tied=None if p_holm is None else p_holm >= CERTAIN,
        )
        found.append((c, configuration))
    return sorted(found, key=lambda pair: -pair[1].test_accuracy.mean)


def _best(cell: Record, artifacts: Artifacts) -> Best:
    confusion = artifacts.confusion(str(cell.run_id))
    return Best(
        cell=cell.id,
        name=cell.name,
        run_id=str(cell.run_id),
        val_accuracy=cell.metrics[CHOSEN_BY],
        test_accuracy=cell.metrics[MEASURE],
        test_accuracy_low=cell.metrics["test/accuracy_low"],
        test_accuracy_high=cell.metrics["test/accuracy_high"],
        confusion=confusion,
        worst_classes=worst_classes(confusion) if confusion else [],
        mixups=mixups(confusion) if confusion else [],
    )


def _row(cell: Record, seconds: Mapping[str, float]) -> CellRow:
    measured = cell.metrics if cell.finished else {}
    epoch = measured.get("best/epoch")
    return CellRow(
        id=cell.id,
        name=cell.name,
        levels=dict(cell.levels),
        status=cell.status,
        reason=cell.reason,
        run_id=cell.run_id,
        best_epoch=None if epoch is None else int(epoch),
        val_accuracy=measured.get(CHOSEN_BY),
        val_loss=measured.get("best/val_loss"),
        test_accuracy=measured.get(MEASURE),
        test_accuracy_low=measured.get("test/accuracy_low"),
        test_accuracy_high=measured.get("test/accuracy_high"),
        num_parameters=int(cell.params["num_parameters"]) if cell.finished else None,
        seconds=seconds.get(str(cell.run_id)),
        command=cell.command,
    )


def _more_seeds(subject: Subject, design: Design) -> str | None:
    seeds = design.replicates.get(SEED) or sorted({cell.params["seed"] for cell in subject.cells if cell.finished})
    if subject.command is None or subject.sweep is None or not seeds or design.splits or subject.search:
        return None
    if len(seeds) >= commands.ENOUGH_SEEDS:
        return None
    return commands.with_more_seeds(subject.command, seeds, subject.sweep)


def _to_finish(subject: Subject) -> str | None:
    missing = any(not cell.finished for cell in subject.cells) or (subject.search and not subject.search.complete)
    if not missing or subject.command is None or subject.sweep is None:
        return None
    return commands.to_finish(subject.command, subject.sweep)
