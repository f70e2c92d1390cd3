"""A cell that is stopped after every epoch, and dies amid each, and goes on: one that never was, to the last bit.

Whatever stands in conf/ is combined. What training keeps in mind is kept by the part that needs it, each under a key of
its own in the checkpoint, so that a part that forgets something does so whatever it meets: in `tests` every setting
occurs once. In `soak` every pair of settings does, where parts would have to disturb one another, and random rows.
"""

import itertools
import os
import random
from dataclasses import dataclass

import pytest
import torch

from image_sweeps.config.schema import GROUPS
from image_sweeps.dataset import Images, StreamedSet
from image_sweeps.fit import checkpoint
from image_sweeps.fit.checkpoint import TrainingHistory
from image_sweeps.fit.loop import Training
from tests.support.configurations import choices
from tests.support.short_trainings import AT_WORK, FEW, bits
from tests.support.soak import DEPTH, depth
from tests.support.training import measured, training

NETWORKS = ("model=mlp_dropout model.hidden=[24,16]", "model=cnn model.channels=[4,8]")
HEAVY = {"model=resnet18": "dataset.image_size=8"}
STREAMED = "dataset.image_size=16 dataset.channels=3 dataset.memory_budget_mb=1"

STATEFUL = {
    "network": NETWORKS,
    **{
        group: tuple(f"{group}={choice} {AT_WORK.get(f'{group}={choice}', '')}".strip() for choice in choices(group))
        for group in GROUPS
        if group not in ("dataset", "model", "activation")
    },
    "precision": ("precision=fp32", "precision=bf16"),
    "images": ("", f"{STREAMED} dataset.num_workers=2", f"{STREAMED} dataset.num_workers=0"),
    "batches": ("batch_size=100", "batch_size=161"),  # the last of 23, and a single image left over
    "l2": ("", "optimizer.weight_decay=0.01", "l2=0.01 regularize_all=false"),
    "clip": ("", "clip_grad_norm=0.1"),
    "smoothing": ("", "label_smoothing=0.1"),
    "stopping": (
        "",
        "early_stopping.watch=val/loss",
        "early_stopping.patience=1",
        "early_stopping.watch=val/loss early_stopping.patience=1",
        "early_stopping.patience=2 early_stopping.min_delta=0.9",  # which nothing reaches: it stops after the third
        "early_stopping.watch=val/loss early_stopping.patience=2 early_stopping.min_delta=9",
    ),
    "deterministic": ("", "deterministic=true"),
}
"""What training keeps in mind, or draws for, or which says when it is over, by what varies it."""

Row = tuple[int, ...]


def random_row(rng: random.Random) -> Row:
    return tuple(rng.randrange(len(values)) for values in STATEFUL.values())


def groups_in(row: Row, size: int) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(row), size))


def covering(size: int) -> list[Row]:
    """Rows in which every value occurs together with every other `size - 1` of other factors, chosen greedily."""
    rng, rows = random.Random(0), []
    levels = [[(factor, level) for level in range(len(values))] for factor, values in enumerate(STATEFUL.values())]
    missing = {group for some in itertools.combinations(levels, size) for group in itertools.product(*some)}
    while missing:
        needed = dict(min(missing))
        tries = [tuple(needed.get(n, level) for n, level in enumerate(random_row(rng))) for _ in range(50)]
        rows.append(max(tries, key=lambda row: len(groups_in(row, size) & missing)))
        missing -= groups_in(rows[-1], size)
    return rows


def cases() -> list:
    """In `tests` a few; the others are marked."""
    activations = itertools.cycle(choices("activation"))

    def text(row):
        values = [values[level] for values, level in zip(STATEFUL.values(), row, strict=True)]
        return " ".join(filter(None, [*values, f"activation={next(activations)}"]))

    few = [*map(text, covering(1))]
    if not DEPTH:
        return few
    new_each_time = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # but the same in all workers
    rows = covering(2) + [random_row(new_each_time) for _ in range(depth(0, 10))]
    models = [f"model={choice} {HEAVY.get(f'model={choice}', '')}".strip() for choice in choices("model")]
    return [pytest.param(case, marks=pytest.mark.soak) for case in [*map(text, rows), *models] if case not in few]


CASES = cases()
STREAMING = [case for case in CASES if "num_workers=2" in (case if isinstance(case, str) else case.values[0])]


@pytest.fixture(autouse=True)
def _process_as_it_was():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@dataclass
class Dying:
    """Training images of a process that does not survive the first step of an epoch."""

    images: Images

    def __len__(self):
        return len(self.images)

    def __getattr__(self, name):
        return getattr(self.images, name)

    def batches(self, steps):
        yield next(self.images.batches(steps))
        raise KeyboardInterrupt


def attempt(folder, settings, num_epochs, dies=False) -> tuple[TrainingHistory, Training]:
    """Begin, or go on, for so many epochs at most; each is kept, as by a cell."""
    subject = training(*settings)
    past = checkpoint.restore(folder / "last.pt", subject)
    if dies:
        subject.train = Dying(subject.train)
    epochs = subject.epochs()
    for _ in range(num_epochs):
        if past.watch.exhausted or (epoch := next(epochs, None)) is None:
            break
        past.add(epoch, subject.model)
        checkpoint.save_last(folder / "last.pt", subject, past)
    return past, subject


def everything(past, subject):
    """All that a cell has learned and measured, and all that its next epoch would depend on."""
    return {
        "epochs": [measured(epoch) for epoch in past.epochs],
        "best": (measured(past.best), past.watch.num_worse, bits(past.weights)),
        "state": bits(subject.state_dict()),
    }


@pytest.mark.parametrize("settings", CASES)
def test_a_cell_that_goes_on_is_bit_for_bit_one_that_was_never_stopped(tmp_path, settings):
    overrides = (*FEW, *settings.split())
    whole, never_stopped = attempt(tmp_path / "whole", overrides, num_epochs=99)
    for _ in whole.epochs:
        with pytest.raises(KeyboardInterrupt):
            attempt(tmp_path / "parts", overrides, num_epochs=1, dies=True)
        attempt(tmp_path / "parts", overrides, num_epochs=1)
        torch.rand(7)  # whatever happens in between
    past, went_on = attempt(tmp_path / "parts", overrides, num_epochs=99)  # stopped when nothing was left to train
    assert everything(past, went_on) == everything(whole, never_stopped)


@pytest.mark.parametrize("settings", STREAMING)
def test_a_cell_that_streams_is_bit_for_bit_one_that_holds_its_images(tmp_path, settings):
    overrides = (*FEW, *settings.split())
    streamed, from_disk = attempt(tmp_path / "streamed", overrides, num_epochs=99)
    held, from_memory = attempt(tmp_path / "held", (*overrides, "dataset.memory_budget_mb=4096"), num_epochs=99)
    assert isinstance(from_disk.train, StreamedSet)
    assert not isinstance(from_memory.train, StreamedSet)
    assert everything(streamed, from_disk) == everything(held, from_memory)
