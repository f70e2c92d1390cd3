from functools import cache

import pytest

from image_sweeps.config.composition import hydra_at
from image_sweeps.sweep.estimate import TimedCell, estimate_time, format_duration, params_of
from image_sweeps.sweep.plan import plan


@pytest.fixture(scope="module")
def cells():
    """The cells of some overrides."""
    with hydra_at():
        yield cache(lambda *overrides: plan(overrides).cells)


def past_of(cell, epoch_s, after_s=0.0):
    return TimedCell(params_of(cell), epoch_s, after_s)


def test_a_cell_takes_its_epochs_and_what_comes_after_them(cells):
    past = [past_of(cells("seed=7")[0], epoch_s, after_s) for epoch_s, after_s in ((2, 9), (3, 1), (40, 2))]
    told = estimate_time(cells("epochs=4", "seed=0"), past, num_slots=1)
    assert told.seconds == 4 * 3 + 2  # medians: one that was slow for once does not count
    assert str(told) == "14 s, one cell after the other; from 3 past cells"


def test_what_makes_no_difference_to_an_epoch_makes_none_here(cells):
    past = [past_of(cells("optimizer.lr=0.5", "scheduler=cosine", "seed=3", "epochs=9")[0], 2)]
    assert estimate_time(cells("epochs=1"), past, 1).seconds == 2


@pytest.mark.parametrize(
    "different",
    ["batch_size=10", "norm=batch", "model.channels=[4,4]", "precision=bf16", "optimizer=adam", "augmentation=flip"],
)
def test_cells_that_cost_the_same_come_before_those_of_the_same_network(cells, different):
    past = [past_of(cells()[0], 2), past_of(cells(different)[0], 50)]
    assert estimate_time(cells("seed=1", "epochs=1"), past, 1).seconds == 2
    assert estimate_time(cells("seed=1", "epochs=1"), past[1:], 1).seconds == 50


@pytest.mark.parametrize("different", ["dataset.image_size=32", "model=mlp", "device=cpu"])
def test_cells_unlike_any_before_are_left_out_and_counted(cells, different):
    past = [past_of(cells()[0], 2)]
    told = estimate_time([*cells("epochs=1", "seed=0,1"), *cells(different)], past, 1)
    assert told.seconds == 4
    assert str(told) == "4 s, one cell after the other; from 1 past cell; 1 cell like none before left out"


def test_other_data_under_the_same_name_is_other_data(cells):
    (cell,) = cells()
    elsewhere = TimedCell({**params_of(cell), "fingerprint": "another"}, 2, 0)
    assert estimate_time([cell], [elsewhere], 1).seconds is None


def test_cells_are_dealt_out_to_the_slot_that_is_free_first(cells):
    past = [past_of(cells()[0], 1), past_of(cells("model=mlp")[0], 10)]
    planned = [*cells("epochs=3,1"), *cells("model=mlp", "epochs=1"), *cells("epochs=4")]  # 3, 1, 10 and 4 s
    assert estimate_time(planned, past, 1).seconds == 18
    assert estimate_time(planned, past, 2).seconds == 11  # 3 + 4, beside 1 + 10
    assert estimate_time(planned, past, 9).seconds == 10
    assert "9 cells at a time" in str(estimate_time(planned, past, 9))


def test_epochs_that_are_trained_already_are_not_counted(cells):
    one, other = cells("epochs=5", "seed=0,1")
    assert estimate_time([one, other], [past_of(one, 2)], 1, num_done={other.id: 3}).seconds == (5 + 2) * 2


def test_stopping_early_is_thought_of(cells):
    (cell,) = cells("epochs=2", "early_stopping.patience=1")
    assert (
        str(estimate_time([cell], [past_of(cell, 30)], 1))
        == "1 min 0 s if none stops early, one cell after the other; from 1 past cell"
    )


def test_without_a_past_or_cells_it_says_so(cells):
    assert str(estimate_time(cells(), [], 1)) == "unknown: no past epochs to go by"
    assert str(estimate_time([], [past_of(cells()[0], 1)], 1)) == "0 s: there is nothing to run"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (12000, "3 h 20 min"),
        (180000, "2 d 2 h"),
    ],
)
def test_durations_are_told_in_two_units(seconds, words):
    assert format_duration(seconds) == words
