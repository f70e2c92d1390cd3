import pytest

from image_sweeps.cell.search_record import SearchRecord, Trial
from image_sweeps.cell.status import CellStatus
from image_sweeps.report.charts.search import front, history, importances
from image_sweeps.report.search import cells_to_compare, ranked, sentences, summed_up


def trial(number, value=None, *more, epochs=10, state=None, same_as=None, **settings):
    values = None if value is None else [value, *more]
    state = CellStatus(state or ("finished" if values else "pruned"))
    point = {"optimizer.lr": f"0.{number + 1}", **settings}
    best = 0.5 if values is None else value
    return Trial(number, f"cell{number}", state, values, best, point, epochs, epochs * 2.0, same_as)


def search(*trials, objectives=("val/accuracy",), directions=("maximize",), confirmed=None, shares=None):
    return SearchRecord(
        objectives=list(objectives),
        directions=list(directions),
        sampler={"name": "tpe", "seed": 0},
        pruner={"name": "median"},
        space={"optimizer.lr": "0.1 to 1"},
        n_trials=len(trials),
        num_epochs=10,
        default="default",
        complete=True,
        trials=trials,
        importances=shares,
        confirmed=confirmed or {},
    )


PRUNING = search(trial(0, 0.7), trial(1, epochs=2), trial(2, 0.9), trial(3, epochs=5))


def test_what_pruning_saved_are_the_epochs_that_were_left_at_the_pace_of_each_trial():
    found = summed_up(PRUNING, confirmed=False)
    assert (found.num_epochs, found.num_epochs_saved, found.seconds_saved) == (27, 8 + 5, 26.0)
    assert sentences(found)[0] == (
        "Of 4 trials, 2 finished and 2 were pruned; pruning saved 13 of 40 epochs, about 26 s of training."
    )


def test_a_trial_that_was_not_run_saves_nothing():
    found = summed_up(search(trial(0, epochs=2), trial(1, epochs=0, same_as=0)), confirmed=False)
    assert (found.num_epochs_saved, found.num_same) == (8, 1)
    said = sentences(found)[0]
    assert said.endswith("; 1 had the cell of an earlier one.")


def test_a_trial_alone_is_told_of_in_the_singular():
    said = sentences(summed_up(search(trial(0, 0.7), trial(1, epochs=2)), confirmed=False))[0]
    assert said.startswith("Of 2 trials, 1 finished and 1 was pruned; ")


def test_the_best_is_told_with_its_setting_and_that_it_is_not_confirmed():
    said = sentences(summed_up(PRUNING, confirmed=False))
    assert said[1] == "The best is trial 2 (optimizer.lr=0.3), with a validation accuracy of 90.0%."
    assert "was not trained anew: hydra.sweeper.confirm_seeds=5 does that" in said[2]
    assert "this is what fresh seeds say of it" in sentences(summed_up(PRUNING, confirmed=True))[2]


def test_without_a_finished_trial_there_is_no_best():
    assert sentences(summed_up(search(trial(0, epochs=2)), confirmed=False))[1:] == ["No trial has finished."]


def test_a_loss_is_the_better_the_smaller():
    trials = [trial(0, 0.3), trial(1, 0.1), trial(2, 0.2)]
    assert ranked(trials, ["minimize"]) == [1, 2, 0]
    assert ranked(trials, ["maximize"]) == [0, 2, 1]


SEVERAL = search(
    trial(0, 0.9, 500.0),
    trial(1, 0.8, 100.0),
    trial(2, 0.8, 200.0),
    trial(3, 0.7, 400.0),
    objectives=("val/accuracy", "parameters"),
    directions=("maximize", "minimize"),
)


def test_of_several_objectives_the_best_are_those_that_none_beats_in_all():
    found = summed_up(SEVERAL, confirmed=False)
    assert found.best == [0, 1]
    assert sentences(found)[1] == (
        "No other trial beats trial 0 and trial 1 in every objective; the first by val/accuracy is trial 0 "
        "(optimizer.lr=0.1), with a validation accuracy of 90.0% and 500 parameters."
    )


class Cell:
    def __init__(self, cell, finished=True):
        self.id, self.finished = cell, finished


def test_what_is_compared_has_fresh_seeds_or_failing_that_is_the_best():
    cells = [Cell(f"cell{number}") for number in range(4)] + [Cell("a"), Cell("b", finished=False)]
    confirmed = search(*PRUNING.trials, confirmed={"b": "default", "a": "trial 2"})
    assert [cell.id for cell in cells_to_compare(cells, confirmed)] == ["b", "a"]
    assert [cell.id for cell in cells_to_compare(cells, PRUNING)] == ["cell2", "cell0"]
    unfinished = search(*PRUNING.trials, confirmed={"b": "default"})
    assert [cell.id for cell in cells_to_compare(cells, unfinished)] == ["cell2", "cell0"]


@pytest.mark.parametrize(
    ("draw", "record", "words"),
    [
        (history, PRUNING, "validation accuracy of the trials"),
        (history, SEVERAL, "validation accuracy of the trials"),
        (front, SEVERAL, "validation accuracy over parameters"),
        (importances, search(trial(0, 0.5), shares={"optimizer.lr": 0.7, "model": 0.3}), "optimizer.lr"),
    ],
)
def test_charts_are_drawn_of_what_there_is(draw, record, words):
    svg = draw(summed_up(record, confirmed=False))
    assert svg.startswith("<svg ")
    assert words in svg


@pytest.mark.parametrize("draw", [history, front, importances])
def test_of_nothing_no_chart_is_drawn(draw):
    nothing = trial(0, epochs=0)
    assert draw(summed_up(search(Trial(**{**vars(nothing), "best": None})), confirmed=False)) is None
