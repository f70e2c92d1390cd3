import json

import pytest

from image_sweeps.cell.folders import SweepFile
from image_sweeps.cell.result import Result
from image_sweeps.cell.status import CellStatus
from image_sweeps.report.records import of_sweep
from image_sweeps.search.study import TrialStore
from tests.support.searches import LR, Died, Process, learn, near_a_tenth

pytest.importorskip("optuna")

SMALL = (LR, "hydra.sweeper.n_trials=12", "hydra.sweeper.confirm_seeds=0")


@pytest.fixture
def searching(tmp_path):
    """A search with these overrides, one process after the other."""
    return lambda *overrides: Process(tmp_path / "search", *overrides)


def numbers(record):
    return [(trial.point, trial.values, trial.num_epochs, trial.state) for trial in record.trials]


def states(record):
    return [trial.state for trial in record.trials]


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """A search that has run to its end."""
    process = Process(tmp_path_factory.mktemp("undisturbed") / "search", *SMALL)
    process.run()
    return process


@pytest.fixture(scope="module")
def undisturbed(completed):
    """What it has found."""
    return completed.record


def test_a_search_tries_as_many_trials_as_it_was_told_and_prunes_some(undisturbed):
    assert len(undisturbed.trials) == 12
    assert set(states(undisturbed)) == {"finished", "pruned"}
    assert undisturbed.complete


def test_pruned_trials_have_trained_fewer_epochs_and_have_no_value(undisturbed):
    pruned = [trial for trial in undisturbed.trials if trial.state == "pruned"]
    assert all(2 <= trial.num_epochs < 8 and trial.values is None for trial in pruned)
    assert all(trial.reason is None for trial in undisturbed.trials if trial.state == "finished")


def test_the_same_seed_on_one_slot_gives_the_same_search(undisturbed, searching):
    record, _ = searching(*SMALL).run()
    assert numbers(record) == numbers(undisturbed)


def test_another_seed_gives_another_search(undisturbed, searching):
    record, _ = searching(*SMALL, "hydra.sweeper.sampler.seed=1").run()
    assert numbers(record) != numbers(undisturbed)


IN_TESTS = [(0, "before"), (4, "amid"), (4, "untold"), (11, "after")]
"""Each number, and each moment: the one says how many trials are in the memory, the other what the last one left."""


def die_at(number, when):
    """Work that takes the process with it at the trial of this number: before, amid or after its cell, or untold."""

    def work(folder):
        if json.loads((folder / "trial.json").read_text())["number"] != number or (folder / "died").exists():
            learn(folder, near_a_tenth)
            return
        (folder / "died").touch()

        def die(now):
            if now == when:
                raise Died

        def amid(cell, epoch):
            die("amid" if epoch == 2 else None)
            return near_a_tenth(cell, epoch)

        die("before")
        learn(folder, amid, lambda cell: die("untold"))
        die("after")

    return work


DEATHS = [
    pytest.param(number, when, marks=[] if (number, when) in IN_TESTS else pytest.mark.soak)
    for number in (0, 4, 11)
    for when in ("before", "amid", "untold", "after")
]


@pytest.mark.parametrize(("number", "when"), DEATHS)
def test_a_search_that_died_anywhere_goes_on_to_the_same_trials_and_repeats_none(searching, undisturbed, number, when):
    process = searching(*SMALL)
    _, first = process.run(work=die_at(number, when))
    record, second = process.run(work=die_at(number, when))
    assert numbers(record) == numbers(undisturbed)
    handed = first.handed + second.handed
    repeated = {cell for cell in handed if handed.count(cell) > 1}
    assert len(repeated) == (when in ("before", "amid"))


@pytest.mark.parametrize("asked", ["", "position", "position point"])
def test_a_trial_that_was_asked_for_and_never_begun_is_asked_for_again(searching, undisturbed, asked):
    process = searching(*SMALL)
    process.run("hydra.sweeper.n_trials=5")
    memory = TrialStore(process.folder, None, ["maximize"])
    trial = memory.study.ask()
    if "position" in asked:
        trial.set_user_attr("position", 5)
    if "point" in asked:
        trial.suggest_float("optimizer.lr", 1e-4, 1, log=True)
    record, _ = process.run()
    assert len(record.trials) == 12
    assert numbers(record)[:5] == numbers(undisturbed)[:5]
    if "point" not in asked:
        assert numbers(record)[5][0] == numbers(undisturbed)[5][0]


def test_more_trials_are_more_of_the_same_search(searching, undisturbed):
    process = searching(*SMALL)
    first, _ = process.run("hydra.sweeper.n_trials=7")
    record, launcher = process.run()
    assert len(first.trials) == 7
    assert len(launcher.handed) == 5
    assert numbers(record) == numbers(undisturbed)


def test_a_search_that_is_complete_asks_for_nothing(completed):
    _, launcher = completed.run()
    assert launcher.handed == []


def test_half_a_line_in_the_journal_is_taken_away(searching, undisturbed):
    process = searching(*SMALL)
    process.run("hydra.sweeper.n_trials=5")
    with (process.folder / SweepFile.STUDY).open("a") as file:
        file.write('{"op_code":4,"wor')
    record, _ = process.run()
    assert numbers(record) == numbers(undisturbed)


def test_of_two_trials_with_the_same_cell_one_is_run(searching):
    process = searching(
        "optimizer.lr=0.01,0.1,1.0", "hydra.sweeper.n_trials=9", "hydra.sweeper.confirm_seeds=0", "epochs=3"
    )
    record, launcher = process.run()
    assert len(record.trials) == 9
    assert len(launcher.handed) == len(set(launcher.handed)) <= 3
    for trial in record.trials:
        if trial.same_as is not None:
            original = record.trials[trial.same_as]
            assert (trial.values, trial.state, trial.cell) == (original.values, original.state, original.cell)
            assert (trial.num_epochs, trial.seconds) == (0, 0)


def fail(folder, reason="RuntimeError: not this one"):
    Result(folder.name, "name", CellStatus.FAILED, reason).save(folder)


def fail_first(times):
    """Work that fails so often at the first cell."""
    failed = []

    def work(folder):
        number = json.loads((folder / "trial.json").read_text())["number"]
        if number == 0 and len(failed) < times:
            failed.append(folder)
            fail(folder)
        else:
            learn(folder, near_a_tenth)

    return work


def test_a_cell_that_failed_is_tried_again_as_often_as_retries_says(searching):
    record, launcher = searching(*SMALL, "retries=2", "hydra.sweeper.n_trials=3").run(work=fail_first(2))
    assert states(record) == ["finished"] * 3
    assert launcher.handed[:3] == [record.trials[0].cell] * 3


def test_a_trial_at_the_default_values_has_the_name_of_a_trial_also_when_the_search_goes_on(searching):
    process = searching("optimizer.lr=0.1,0.01", "hydra/sweeper/sampler=grid", "hydra.sweeper.confirm_seeds=0")
    for _ in range(2):
        record, _ = process.run()
        assert record.default in {trial.cell for trial in record.trials}
        subject, _ = of_sweep(None, process.folder)
        assert {cell.levels["configuration"] for cell in subject.cells} == {"trial 0", "trial 1"}


def test_a_trial_whose_cell_failed_counts_and_the_search_goes_on(searching):
    record, launcher = searching(*SMALL, "hydra.sweeper.n_trials=3").run(work=fail_first(1))
    assert states(record) == ["failed", "finished", "finished"]
    assert record.trials[0].reason == "RuntimeError: not this one"
    assert len(launcher.handed) == 3


def test_a_failed_trial_is_tried_again_at_the_same_point_when_the_search_goes_on(searching):
    process = searching(*SMALL, "hydra.sweeper.n_trials=3")
    before, _ = process.run(work=fail_first(1))
    record, launcher = process.run()
    assert states(record) == ["finished"] * 3
    assert launcher.handed == [before.trials[0].cell]
    assert sorted(str(trial.point) for trial in record.trials) == sorted(str(trial.point) for trial in before.trials)


def test_after_a_failure_no_other_trial_is_asked_for_where_it_is_to_stop(searching):
    record, _ = searching(*SMALL, "on_failure=stop").run(work=fail_first(1))
    assert states(record) == ["failed"]


def test_a_launcher_that_does_nothing_ends_the_search(searching):
    record, launcher = searching(*SMALL, "hydra.sweeper.n_trials=3").run(work=lambda folder: None)
    assert states(record) == ["running"] * 3
    assert len(launcher.handed) == 3


def test_a_search_ends_when_so_many_epochs_have_been_trained(searching):
    record, _ = searching(
        *SMALL, "hydra.sweeper.n_trials=null", "hydra.sweeper.max_epochs=30", "hydra/sweeper/pruner=none"
    ).run()
    assert [trial.num_epochs for trial in record.trials] == [8, 8, 8, 8]


def test_a_search_ends_when_its_time_is_over(searching):
    record, _ = searching(LR, "hydra.sweeper.timeout_s=1e-9", "hydra.sweeper.confirm_seeds=0").run()
    assert record.trials == []


def test_a_grid_tries_every_point_once_in_order(searching):
    record, _ = searching(
        "hydra/sweeper/sampler=grid",
        "optimizer.lr=0.01,0.1",
        "batch_size=range(50,200,50)",
        "hydra.sweeper.n_trials=null",
        "hydra.sweeper.confirm_seeds=0",
        "hydra/sweeper/pruner=none",
    ).run()
    points = [(trial.point["optimizer.lr"], trial.point["batch_size"]) for trial in record.trials]
    assert points == [(lr, size) for lr in ("0.01", "0.1") for size in ("50", "100", "150")]


SAMPLERS, PRUNERS = ("tpe", "gp", "cmaes", "random"), ("median", "halving", "hyperband", "none")
FOUND_WITH = [  # a sampler knows values and a pruner epochs, and neither of the other: in `tests`, each of them once
    pytest.param(sampler, pruner, marks=[] if number == place else pytest.mark.soak)
    for number, sampler in enumerate(SAMPLERS)
    for place, pruner in enumerate(PRUNERS)
]


@pytest.mark.parametrize(("sampler", "pruner"), FOUND_WITH)
def test_every_sampler_and_pruner_finds_its_way_to_a_tenth(searching, sampler, pruner):
    record, _ = searching(
        LR,
        f"hydra/sweeper/sampler={sampler}",
        f"hydra/sweeper/pruner={pruner}",
        "hydra.sweeper.n_trials=15",
        "hydra.sweeper.confirm_seeds=0",
    ).run()
    best = max((trial for trial in record.trials if trial.values), key=lambda trial: trial.values[0])
    assert 0.01 < float(best.point["optimizer.lr"]) < 1
    assert ("pruned" in states(record)) == (pruner != "none")


def test_of_several_objectives_those_that_none_beats_are_confirmed(searching):
    process = searching(
        LR,
        "hydra.sweeper.objectives=[val/accuracy,parameters]",
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.confirm_seeds=1",
        "hydra.sweeper.confirm_best=2",
    )
    record, _ = process.run()
    beaten = [
        any(o.values[0] >= t.values[0] and o.values[1] <= t.values[1] and o.values != t.values for o in record.trials)
        for t in record.trials
    ]
    confirmed = {label for label in record.confirmed.values() if label != "default"}
    assert len(confirmed) == 2
    assert all(not beaten[int(label.removeprefix("trial "))] for label in confirmed)


def test_the_best_and_the_default_are_trained_anew_with_seeds_of_their_own(searching):
    process = searching(LR, "hydra.sweeper.n_trials=6", "hydra.sweeper.confirm_seeds=3", "seed=7")
    record, launcher = process.run()
    best = max((trial for trial in record.trials if trial.values), key=lambda trial: trial.values[0])
    assert list(record.confirmed.values()) == ["default"] * 3 + [f"trial {best.number}"] * 3
    cells = {cell.id: cell for cell in process.search_cells()}
    assert [cells[cell].raw["seed"] for cell in record.confirmed] == [8, 9, 10] * 2
    lr = float(best.point["optimizer.lr"])
    assert [cells[cell].raw["optimizer"]["lr"] for cell in record.confirmed] == [0.1] * 3 + [lr] * 3
    assert launcher.handed[-6:] == list(record.confirmed)


def test_a_confirmation_that_died_goes_on_with_what_is_missing(searching):
    process = searching(LR, "hydra.sweeper.n_trials=4", "hydra.sweeper.confirm_seeds=3")
    done = []

    def work(folder):
        if not (folder / "trial.json").exists():
            if len(done) == 2:
                raise Died
            done.append(folder.name)
        learn(folder, near_a_tenth)

    process.run(work=work)
    record, launcher = process.run()
    assert len(record.confirmed) == 6
    assert launcher.handed == [cell for cell in record.confirmed if cell not in done]


def test_a_trial_whose_values_do_not_go_together_is_refused_and_the_search_goes_on(searching, capsys):
    many = ("activation=relu,elu,tanh,gelu,silu,leaky_relu", "norm=none,batch,layer,group", "l2=0.0,0.1,0.2")
    process = searching(
        *(*many, "optimizer.momentum=0.9,0.0", "optimizer.nesterov=false,true", "hydra/sweeper/sampler=grid"),
        *("hydra.sweeper.n_trials=5", "hydra.sweeper.confirm_seeds=0", "hydra/sweeper/pruner=none"),
    )
    record, launcher = process.run()
    assert states(record) == ["finished", "finished", "finished", "failed", "finished"]
    assert "needs optimizer.momentum above 0" in record.trials[3].reason
    assert "trial 3 cannot be: optimizer.nesterov = True: needs" in capsys.readouterr().err
    assert len(launcher.handed) == 4
    again, launcher = process.run()
    assert (states(again), launcher.handed) == (states(record), [])
