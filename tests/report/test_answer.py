"""What is said of sweeps whose outcome is known."""

import pytest

from tests.support.report_records import summary_of

SEEDS = ["0", "1", "2"]
NOISE = {"0": -0.003, "1": 0.001, "2": 0.002}


def said(factors, outcome):
    return " ".join(summary_of(factors, outcome).answer)


def test_a_certain_effect_is_said_with_its_interval_and_what_it_is_averaged_over():
    def outcome(levels):
        better = 0.3 * (levels["model"] == "cnn_batch") + 0.01 * NOISE[levels["seed"]] * (levels["model"] == "cnn")
        return 0.5 + better + NOISE[levels["seed"]]

    text = said({"model": ["cnn", "cnn_batch"], "activation": ["relu", "tanh"], "seed": SEEDS}, outcome)
    assert "model=cnn_batch scores 30.0 percentage points higher than cnn (95% interval 30.0 to 30.0)" in text
    assert "averaged over the other settings and 3 seeds" in text
    assert "activation=" not in text.split(" is the best")[0].split("By validation")[0]


def test_the_better_value_is_named_first_whichever_was_typed_first():
    text = said(
        {"model": ["mlp", "cnn"], "seed": SEEDS}, lambda v: 0.9 - 0.2 * (v["model"] == "cnn") * (1 + NOISE[v["seed"]])
    )
    assert text.startswith("model=mlp scores 20.0 percentage points higher than cnn (95% interval 19.9 to 20.1)")


def test_an_interaction_that_is_certain_is_said():
    def outcome(levels):
        batch, fast = levels["model"] == "cnn_batch", levels["optimizer.lr"] == "0.1"
        return (
            0.1 + 0.8 * batch + 0.6 * fast - 0.55 * (batch and fast) + NOISE[levels["seed"]] * (1 + fast + batch * fast)
        )

    text = said({"model": ["cnn", "cnn_batch"], "optimizer.lr": ["0.01", "0.1"], "seed": SEEDS}, outcome)
    assert "how far model=cnn_batch is from cnn depends on optimizer.lr: +80.0 points at 0.01, +25.0 at 0.1" in text


def test_what_cannot_be_told_from_chance_is_not_claimed():
    noise = {("relu", "0"): 0.01, ("relu", "1"): -0.02, ("tanh", "1"): 0.02, ("tanh", "2"): -0.01}
    outcome = {"activation": ["relu", "tanh"], "seed": SEEDS}
    text = said(outcome, lambda v: 0.8 + noise.get((v["activation"], v["seed"]), 0))
    said_of_it = (
        "The difference cannot be told from chance: activation=tanh scores 0.7 percentage points higher than relu"
    )
    assert text.startswith(said_of_it)
    assert "the other one cannot be told apart from it" in text


def test_arms_that_score_the_same_in_every_seed_are_said_to_be_equal():
    text = said({"activation": ["relu", "tanh"], "seed": SEEDS}, lambda v: 0.8 + NOISE[v["seed"]])
    assert text == (
        "activation=tanh and relu score the same in each of the 3 seeds. "
        "By validation accuracy activation=relu is the best, with the same validation accuracy as activation=tanh; "
        "its test accuracy is 80.0% (95% interval 79.3% to 80.7% for other seeds)."
    )


def test_a_difference_that_never_varies_is_said_to_be_untested_for_that_reason():
    text = said({"activation": ["relu", "tanh"], "seed": SEEDS}, lambda v: 0.8 + 0.05 * (v["activation"] == "tanh"))
    assert text.startswith(
        "activation=tanh scores 5.0 percentage points higher than relu in each of the 3 seeds; a difference that never "
        "varies cannot be tested."
    )


def test_arms_of_one_seed_that_score_the_same_are_said_to():
    text = said({"activation": ["relu", "tanh"]}, lambda v: 0.8)
    assert "what was seen: activation=tanh and relu score the same." in text


def test_a_difference_too_small_for_a_digit_is_not_said_to_be_none():
    text = said({"activation": ["relu", "tanh"]}, lambda v: 0.8 + 0.0002 * (v["activation"] == "tanh"))
    assert "activation=tanh scores less than 0.1 percentage points higher than relu" in text


def test_a_difference_that_only_a_single_test_would_call_certain_is_not_claimed():
    """Two settings, so two comparisons; each interval by itself leaves out 0."""
    noise = {"0": -0.02, "1": 0.0, "2": 0.02}

    def outcome(levels):
        pushed = (levels["model"] == "mlp") + 0.9 * (levels["activation"] == "tanh")
        return 0.5 + pushed * (0.05 + noise[levels["seed"]])

    summary = summary_of({"model": ["cnn", "mlp"], "activation": ["relu", "tanh"], "seed": SEEDS}, outcome)
    assert all(effect.difference.low > 0 and not effect.certain for effect in summary.effects)
    assert summary.answer[0].startswith("None of 2 differences between two values of a setting can be told from chance")


def test_with_one_seed_nothing_is_tested_and_the_answer_says_so():
    text = said({"model": ["cnn", "mlp"]}, lambda v: 0.9 if v["model"] == "cnn" else 0.7)
    assert "With 1 seed for each configuration no difference can be told from the luck of training" in text
    assert "model=cnn scores 20.0 percentage points higher than mlp" in text
    assert "its test accuracy is 90.0% (95% interval 85.0% to 95.0% for other test images)" in text
    assert "told apart" not in text


def test_one_cell_has_an_accuracy_and_no_comparison():
    assert said({}, lambda _: 0.9) == "Test accuracy is 90.0% (95% interval 85.0% to 95.0% for other test images)."


def test_seeds_alone_are_a_mean():
    text = said({"seed": SEEDS}, lambda v: 0.9 + NOISE[v["seed"]])
    assert text == "Test accuracy is 90.0% (95% interval 89.3% to 90.7% for other seeds)."


def test_folds_are_called_folds():
    text = said({"dataset.fold": SEEDS}, lambda v: 0.9 + NOISE[v["dataset.fold"]])
    assert "for other folds" in text


def test_seeds_that_agree_are_said_to_agree():
    assert said({"seed": SEEDS}, lambda _: 0.9) == "Test accuracy is 90.0% (the same in all 3 seeds)."


@pytest.mark.parametrize("status", ["failed", "interrupted", "running", "not run"])
def test_without_a_finished_cell_there_is_no_answer(status):
    text = said({"model": ["cnn", "mlp"]}, lambda _: status)
    assert text == f"There is no answer yet: no cell has finished (2 {status})."


def test_what_did_not_finish_is_said_first():
    text = said(
        {"model": ["cnn", "mlp"], "seed": SEEDS}, lambda v: "failed" if v["seed"] == "2" else 0.8 + NOISE[v["seed"]]
    )
    assert text.startswith("This rests on 4 of 6 cells (2 failed).")


def test_where_no_two_cells_differ_in_one_setting_no_effect_is_claimed():
    def outcome(levels):
        alike = (levels["model"] == "cnn") == (levels["optimizer.lr"] == "0.1")
        return 0.8 + NOISE[levels["seed"]] if alike else "failed"

    text = said({"model": ["cnn", "mlp"], "optimizer.lr": ["0.1", "0.01"], "seed": SEEDS}, outcome)
    assert "No two finished cells differ in nothing but one of model and optimizer.lr" in text


def test_the_best_is_chosen_by_validation_even_where_the_test_prefers_another():
    summary = summary_of({"model": ["cnn", "mlp"]}, lambda v: (0.8, 0.9) if v["model"] == "cnn" else (0.95, 0.7))
    assert [(c.name, c.chosen) for c in summary.configurations] == [("model=mlp", False), ("model=cnn", True)]
    assert "By validation accuracy model=cnn is the best; its test accuracy is 80.0%" in summary.answer[-1]
    assert summary.best.name == "model=cnn"
