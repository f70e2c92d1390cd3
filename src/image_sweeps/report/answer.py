"""The answer of a report in a few sentences, which say how uncertain it is."""

from collections.abc import Mapping, Sequence

from image_sweeps.cell.status import CellStatus
from image_sweeps.report.content import Best, Configuration, Question
from image_sweeps.report.design import level
from image_sweeps.report.effects import Effect, Interaction
from image_sweeps.report.formatting import count, interval, listed, percent, points, points_interval
from image_sweeps.report.statistics import SAME, Estimate

MAX_EFFECTS = 2

MAX_ALIKE = 3
"""The largest number of configurations that are named as having the same validation accuracy."""


def answer(
    question: Question,
    configurations: Sequence[Configuration],
    effects: Sequence[Effect],
    interactions: Sequence[Interaction],
    best: Best | None,
    counts: Mapping[str, int],
) -> list[str]:
    """Return the answer to the question of the report, in sentences.

    Args:
        question: the question of the report.
        configurations: the configurations with a finished cell.
        effects: the effects of the factors.
        interactions: the interactions of the factors.
        best: the best cell, or None if no cell has finished.
        counts: the number of cells by status.
    """
    if best is None:
        return [f"There is no answer yet: no cell has finished ({status_counts(counts)})."]
    said = [
        _incomplete(counts),
        *_differences(question, effects, interactions),
        _chosen(question, configurations, best),
    ]
    return [sentence for sentence in said if sentence]


def noun(question: Question) -> str:
    """Return the word for one replicate: `fold`, `split` or `seed`."""
    if "dataset.fold" in question.replicates:
        return "fold"
    return "split" if "dataset.split_seed" in question.replicates else "seed"


def status_counts(counts: Mapping[str, int]) -> str:
    """Return the counts in words, as in `17 finished, 1 failed`."""
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def _incomplete(counts: Mapping[str, int]) -> str | None:
    total, finished = sum(counts.values()), counts.get(CellStatus.FINISHED, 0)
    left = {status: number for status, number in counts.items() if status is not CellStatus.FINISHED}
    return f"This rests on {finished} of {count(total, 'cell')} ({status_counts(left)})." if left else None


def _differences(question: Question, effects: Sequence[Effect], interactions: Sequence[Interaction]) -> list[str]:
    """Return a sentence about the effects of the settings, if there are any settings."""
    if not question.factors:
        return []
    if not effects:
        return [
            f"No two finished cells differ in nothing but one of {listed(list(question.factors))}, "
            "so that no effect can be told by itself."
        ]
    over = _averaged(question, effects)
    largest = _largest(effects)
    if all(effect.p_holm is None for effect in effects):
        return [_untested(question, largest[0], over)]
    certain = [effect for effect in largest if effect.certain][:MAX_EFFECTS]
    dependence = _dependence(interactions)
    if not certain:
        tested = [effect for effect in effects if effect.p_holm is not None]
        first = max(tested, key=lambda effect: abs(effect.difference.mean))
        seen = f"{_scored(first.difference, first)} (95% interval {_size(first.difference)}){over}{dependence}."
        if len(tested) == 1:
            return [f"The difference cannot be told from chance: {seen}"]
        return [
            f"None of {len(tested)} differences between two values of a setting can be told from chance, "
            f"all of them taken together (Holm); the largest: {seen}"
        ]
    said = [f"{_scored(effect.difference, effect)} (95% interval {_size(effect.difference)})" for effect in certain]
    return [f"{', and '.join(said)}{over}{dependence}."]


def _untested(question: Question, effect: Effect, over: str) -> str:
    """Return a sentence about the largest effect, if no effect could be tested, with the reason."""
    scored, number = _scored(effect.difference, effect), effect.difference.num_replicates
    if not effect.difference.constant:
        return (
            f"With {count(number, noun(question))} for each configuration no difference can be told from the luck of "
            f"training; what was seen: {scored}{over}."
        )
    everywhere = f"in each of the {count(number, noun(question))}"
    if abs(effect.difference.mean) < SAME:
        return f"{scored} {everywhere}."
    return f"{scored} {everywhere}; a difference that never varies cannot be tested."


def _scored(difference: Estimate, effect: Effect) -> str:
    """Return a phrase that says how far the better value is above the other one, or that they are equal."""
    value, against = effect.value, effect.against
    if abs(difference.mean) < SAME:
        return f"{level(effect.factor, value)} and {against} score the same"
    if difference.mean < 0:
        value, against = against, value
    higher = points(abs(difference.mean)).lstrip("+")
    if float(higher) == 0:
        higher = f"less than {points(0.001).lstrip('+')}"
    return f"{level(effect.factor, value)} scores {higher} percentage points higher than {against}"


def _size(difference: Estimate) -> str:
    """Return the interval of the absolute difference; the sentence says in words which value is higher."""
    assert difference.low is not None
    assert difference.high is not None
    low, high = (difference.low, difference.high) if difference.mean > 0 else (-difference.high, -difference.low)
    return points_interval(low, high).replace("+", "")


def _averaged(question: Question, effects: Sequence[Effect]) -> str:
    """Return a phrase that says what the differences are averaged over."""
    number = max(effect.difference.num_replicates for effect in effects)
    over = ["the other settings"] * (len(question.factors) > 1) + [count(number, noun(question))] * (number > 1)
    return f", averaged over {listed(over)}" if over else ""


def _largest(effects: Sequence[Effect]) -> list[Effect]:
    """Return one effect per factor, its largest certain one if there is any; the largest effect comes first."""
    found: dict[str, Effect] = {}
    for effect in sorted(effects, key=lambda e: (not e.certain, -abs(e.difference.mean))):
        found.setdefault(effect.factor, effect)
    return sorted(found.values(), key=lambda e: -abs(e.difference.mean))


def _dependence(interactions: Sequence[Interaction]) -> str:
    """Return a phrase about the largest certain interaction, or an empty string if there is none."""
    certain = [interaction for interaction in interactions if interaction.certain]
    if not certain:
        return ""
    i = max(certain, key=lambda interaction: abs(interaction.difference.mean))
    return (
        f"; how far {i.factor}={i.value} is from {i.against} depends on {i.by}: "
        f"{points(i.effect_at_first)} points at {i.at_first}, {points(i.effect)} at {i.at}"
    )


def _chosen(question: Question, configurations: Sequence[Configuration], best: Best) -> str:
    """Return a sentence about the configuration that validation chose, its test accuracy, and its ties."""
    chosen = next(configuration for configuration in configurations if configuration.chosen)
    test = chosen.test_accuracy
    if chosen.num_finished == 1:
        reach = f"95% interval {interval(best.test_accuracy_low, best.test_accuracy_high)} for other test images"
    elif test.low is not None and test.high is not None:
        reach = f"95% interval {interval(test.low, test.high)} for other {noun(question)}s"
    elif test.num_replicates == 1:
        reach = f"in one {noun(question)}"
    else:
        reach = f"the same in all {count(test.num_replicates, noun(question))}"
    accuracy = f"{percent(test.mean)} ({reach})"
    if len(configurations) == 1:
        return f"Test accuracy is {accuracy}."
    alike = _alike(chosen, configurations)
    return (
        f"By validation accuracy {chosen.name} is the best{alike}; its test accuracy is {accuracy}"
        f"{_rivals(configurations)}."
    )


def _alike(chosen: Configuration, configurations: Sequence[Configuration]) -> str:
    """Return a phrase that names the other configurations with the same validation accuracy."""
    best = chosen.val_accuracy.mean
    names = [c.name for c in configurations if not c.chosen and abs(c.val_accuracy.mean - best) < SAME]
    if not names:
        return ""
    others = listed(names) if len(names) <= MAX_ALIKE else count(len(names), "other configuration")
    return f", with the same validation accuracy as {others}"


def _rivals(configurations: Sequence[Configuration]) -> str:
    tested = [configuration for configuration in configurations if configuration.tied is not None]
    tied = sum(configuration.tied is True for configuration in tested)
    if not tested:
        return ""
    if len(tested) == 1:
        return ", and the other one cannot be told apart from it" if tied else ""
    if not tied:
        return f", and all {len(tested)} others can be told apart from it"
    if tied == len(tested):
        return f", and none of the {tied} others can be told apart from it"
    return f", and {tied} of the {len(tested)} others cannot be told apart from it"
