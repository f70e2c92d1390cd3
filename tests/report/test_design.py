import numpy as np
import pytest

from image_sweeps.report.design import Design, in_order, varying
from tests.support.report_records import record, subject


def test_cells_that_differ_in_their_seed_are_one_configuration():
    cells = [record({"model": m, "seed": s}, float(s)) for m in ("cnn", "mlp") for s in ("0", "1")]
    design = Design.of(subject(*cells))
    assert design.factors == {"model": ("cnn", "mlp")}
    assert design.replicates == {"seed": ("0", "1")}
    assert design.configurations == (("cnn",), ("mlp",))
    np.testing.assert_array_equal(design.values(), [[0, 1], [0, 1]])
    assert design.overlap == 0
    assert design.name(1) == "model=mlp"


def test_a_cell_that_did_not_finish_leaves_a_gap():
    cells = [record({"model": "cnn", "seed": "0"}, 0.5), record({"model": "cnn", "seed": "1"}, status="failed")]
    design = Design.of(subject(*cells))
    np.testing.assert_array_equal(design.values(), [[0.5, np.nan]])
    assert len(design.members[0]) == 2
    assert len(design.finished(0)) == 1


def test_folds_are_replicates_over_whose_seeds_is_averaged():
    cells = [
        record({"dataset.fold": fold, "seed": seed}, accuracy)
        for fold, seed, accuracy in (("0", "0", 0.1), ("0", "1", 0.3), ("1", "0", 0.5), ("1", "1", 0.9))
    ]
    design = Design.of(subject(*cells))
    np.testing.assert_allclose(design.values(), [[0.2, 0.7]])
    assert design.overlap == 20 / 80


def test_what_a_choice_brings_along_is_no_factor():
    cells = [record({"model": "cnn"}, norm="none"), record({"model": "cnn_batch"}, norm="batch")]
    design = Design.of(subject(*cells))
    assert design.factors == {"model": ("cnn", "cnn_batch")}
    assert design.follows == {"norm": "model"}


def test_what_several_choices_share_follows_from_them_too():
    levels = [{"model": m, "norm": n} for m, n in (("a", "none"), ("b", "batch"), ("c", "none"))]
    assert Design.of(subject(*map(record, levels))).follows == {"norm": "model"}


def test_settings_that_always_change_together_are_one():
    levels = [{"optimizer.lr": lr, "epochs": e} for lr, e in (("0.1", "5"), ("0.01", "10"))]
    design = Design.of(subject(*map(record, levels)))
    assert design.factors == {"optimizer.lr": ("0.1", "0.01")}
    assert design.follows == {"epochs": "optimizer.lr"}


def test_a_plain_setting_brings_nothing_along():
    levels = [{"optimizer.lr": lr, "epochs": e} for lr, e in (("0.1", "5"), ("0.01", "5"), ("0.001", "10"))]
    assert set(Design.of(subject(*map(record, levels))).factors) == {"optimizer.lr", "epochs"}


def test_a_full_grid_is_all_factors():
    levels = [{"model": m, "norm": n, "epochs": e} for m in "ab" for n in "cd" for e in "12"]
    assert Design.of(subject(*map(record, levels))).follows == {}


def test_one_cell_is_one_configuration_without_a_name():
    design = Design.of(subject(record({})))
    assert (design.configurations, design.name(0), design.columns) == (((),), "", (("",),))


PARAMS = {
    "model": "cnn",
    "norm": "none",
    "model.channels": "[8, 16]",
    "seed": "0",
    "num_parameters": "7",
    "device": "cpu",
}


def test_what_varies_among_runs_is_scientific_and_chosen():
    """A network brings its norm and its own settings; the device and what was measured are no settings."""
    mlp = {"model": "mlp", "norm": "batch", "model.hidden": "[8]", "seed": "1", "num_parameters": "9", "device": "cuda"}
    runs = [PARAMS, PARAMS | {"seed": "1"}, mlp, mlp | {"seed": "0"}]
    assert varying(runs, ["data"] * 4) == {
        "model": ["cnn", "cnn", "mlp", "mlp"],
        "seed": ["0", "1", "1", "0"],
    }


def test_where_the_data_differ_its_path_is_what_varies():
    runs = [PARAMS | {"dataset.path": "a.zip"}, PARAMS | {"dataset.path": "b.zip"}]
    assert varying(runs, ["same", "same"]) == {}
    assert varying(runs, ["one", "other"]) == {"dataset.path": ["a.zip", "b.zip"]}


@pytest.mark.parametrize(
    ("values", "ordered"),
    [(["0.1", "1e-2", "0.1"], ["1e-2", "0.1"]), (["b", "a", "b"], ["b", "a"]), (["10", "9"], ["9", "10"])],
)
def test_numbers_stand_by_size_and_words_as_they_come(values, ordered):
    assert in_order(values) == ordered
