"""One cell in two and three processes: what one process trains, within what rounding leaves."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from image_sweeps.augmentation import Augmentation
from image_sweeps.fit.batch_norm import convert_sync_batchnorm
from image_sweeps.fit.batches import rank_seed
from image_sweeps.fit.parallel import SINGLE_PROCESS, World
from tests.support.configurations import choices, config_of
from tests.support.rank_processes import in_ranks, train, train_each
from tests.support.short_trainings import AT_WORK, FEW, bits
from tests.support.soak import DEPTH

GROUP = "pool"

STREAMED = "dataset.image_size=16 dataset.channels=3 dataset.memory_budget_mb=1"
GENTLE = {"model=resnet18": "dataset.image_size=8 optimizer.lr=0.0001"}
"""A deep network at a high rate multiplies what rounding leaves. So does batch norm: at a rate of 0.1, one processor
and number of threads leave a difference of 1e-3 where others leave 1e-6; at 0.02, none leaves more than 2e-5.
"""

SETTINGS = (
    *(f"{group}={choice}" for group in ("model", "norm", "augmentation", "scheduler") for choice in choices(group)),
    *(f"model=mlp optimizer={choice}" for choice in choices("optimizer")),
    *("precision=bf16 norm=batch", "deterministic=true", "clip_grad_norm=0.1", "label_smoothing=0.1"),
    *("l2=0.01", "l2=0.01 regularize_all=false norm=batch", "optimizer.weight_decay=0.01"),
    *(f"{STREAMED} dataset.num_workers={number}" for number in (0, 2)),
    "norm=batch label_smoothing=0.1 clip_grad_norm=0.5 l2=0.01 augmentation=standard scheduler=cosine",
)
"""Each choice by itself, and some together; without dropout, whose masks are other ones."""

TOGETHER = SETTINGS[-1]
IN_TWO = (
    *(f"norm={choice}" for choice in choices("norm")),
    *("precision=bf16 norm=batch", "clip_grad_norm=0.1", "l2=0.01 regularize_all=false norm=batch"),
    f"{STREAMED} dataset.num_workers=2",
    TOGETHER,
)
IN_THREE = ("norm=batch", "clip_grad_norm=0.1", TOGETHER)
"""What `tests` goes through. Ranks differ in what they have to add up: statistics of batches, gradients before they are
clipped, penalties, shares of a streamed batch. Other choices are computed from those sums, by each rank for itself; all
of them are in `soak`.
"""


def cases(few):
    """In `tests` the few, in `soak` the others."""
    return [pytest.param(text, marks=() if text in few else pytest.mark.soak) for text in SETTINGS]


def trained_in(size, few, *more):
    """What so many ranks train, by the settings; those of the session that runs."""
    chosen = [text for text in SETTINGS if (text in few) != bool(DEPTH)]
    overrides = [(*cell(text), *(one(text) for one in more)) for text in chosen]
    return dict(zip(chosen, in_ranks(size, train_each, overrides)[0], strict=True))


WITHOUT_DROPOUT = "model.dropout=0"


def uneven(settings):
    """Of 323 images, a last batch of 2, of which one of three ranks gets nothing; with batch norm, one of 8.

    Over two images batch norm is a step function, which multiplies what rounding leaves by all that it likes.
    """
    return "batch_size=105" if "batch" in settings or "resnet18" in settings else "batch_size=107"


def cell(settings):
    first = settings.split()[0]
    rate = "optimizer.lr=0.02" if "batch" in settings and "optimizer=" not in settings else ""
    more = (AT_WORK.get(first, ""), rate, GENTLE.get(first, ""), WITHOUT_DROPOUT * ("dropout" in settings))
    return (*FEW[:1], *FEW[2:], "epochs=2", *settings.split(), *" ".join(more).split())


@pytest.fixture(scope="module")
def of_two_ranks():
    return trained_in(2, IN_TWO)


@pytest.fixture(scope="module")
def of_three_ranks():
    return trained_in(3, IN_THREE, uneven)


def close(found, expected, tolerance):
    """Whether epochs agree: losses within the tolerance, a few images more or less on the other side of a boundary."""
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        for key in ("train_loss", "val_loss", "penalty", "lr"):
            assert one[key] == pytest.approx(other[key], rel=tolerance, abs=1e-6), key
        assert one["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=0.02)
        assert one["val_accuracy"] == pytest.approx(other["val_accuracy"], abs=0.03)


def tolerance(settings):
    return 2e-2 if "bf16" in settings else 1e-3


@pytest.mark.parametrize("settings", cases(IN_TWO))
def test_two_processes_train_what_one_does(of_two_ranks, settings):
    found, _ = of_two_ranks[settings]
    expected, _ = train(SINGLE_PROCESS, cell(settings))
    close(found, expected, tolerance(settings))


@pytest.mark.parametrize("settings", cases(IN_THREE))
def test_so_do_three_whose_shares_of_the_last_batch_are_uneven_or_empty(of_three_ranks, settings):
    found, _ = of_three_ranks[settings]
    expected, _ = train(SINGLE_PROCESS, (*cell(settings), uneven(settings)))
    close(found, expected, tolerance(settings))


# --- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("num_images", [1, 2, 7, 100])
def test_shares_are_a_batch_in_its_order_and_differ_by_one_image_at_most(size, num_images):
    batch = torch.arange(num_images)
    shares = [World(rank, size).share(batch) for rank in range(size)]
    assert torch.equal(torch.cat(shares), batch)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_world_of_one_changes_nothing_and_talks_to_nobody():
    batch = torch.rand(3)
    assert SINGLE_PROCESS.share(batch) is batch
    assert SINGLE_PROCESS.sum(batch) is batch
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("choice", choices("augmentation"))
def test_a_share_is_augmented_as_in_its_whole_batch(choice):
    augmentation: Augmentation = config_of(f"augmentation={choice}").augmentation.build()
    images = torch.rand(7, 3, 12, 12)
    draws = augmentation.draws(7, torch.Generator().manual_seed(0))
    ranks = [World(rank, 8) for rank in range(8)]  # one has no share
    shares = [augmentation(rank.share(images), rank.share(draws)) for rank in ranks]
    torch.testing.assert_close(torch.cat(shares), augmentation(images, draws))


def test_every_rank_draws_its_own_dropout_and_other_masks_in_every_epoch():
    seeds = [rank_seed(seed, epoch, rank) for seed in (0, 1) for epoch in (1, 2) for rank in (1, 2, 3)]
    assert len(set(seeds)) == len(seeds)
    assert seeds[0] == rank_seed(0, 1, 1)


# --- batch norm -------------------------------------------------------------------------------------------------------


def network(dtype):
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.BatchNorm1d(5)
    return nn.Sequential(*layers).to(dtype)


def one_step(world, num_images, dtype, repeats=3):
    """Forward and backward over this rank's share; what all shares together gave."""
    draws = torch.Generator().manual_seed(1)
    images = (torch.randn(num_images, 1, 8, 8, generator=draws) * 2 + 1).to(dtype)
    labels = torch.randint(0, 5, (num_images,), generator=draws)
    net = network(dtype).train()
    if world.size > 1:
        convert_sync_batchnorm(net, world)
    for _ in range(repeats):
        net.zero_grad()
        logits = net(world.share(images))
        (F.cross_entropy(logits, world.share(labels), reduction="sum") / num_images).backward()
        world.sum_gradients(net.parameters())
    return [parameter.grad for parameter in net.parameters()], net.state_dict()


@pytest.mark.parametrize(("num_images", "size"), [(7, 2), (64, 2), (7, 3), (2, 3)])
def test_gradients_and_statistics_are_those_of_the_whole_batch(num_images, size):
    """To the precision of float64, so that no mean of means could pass for it; two images leave one rank without."""
    expected = one_step(SINGLE_PROCESS, num_images, torch.float64)
    for found in in_ranks(size, one_step, num_images, torch.float64):
        for one, other in zip(found[0], expected[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-10)
        assert list(found[1]) == list(expected[1])
        for name, value in expected[1].items():
            torch.testing.assert_close(found[1][name], value, rtol=1e-9, atol=1e-12)


def test_in_eval_mode_it_is_a_batch_norm_like_any_other():
    plain = network(torch.float32).eval()
    whole = copy.deepcopy(plain)
    convert_sync_batchnorm(whole, World(0, 2))
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(whole(images), plain(images))


def test_a_frozen_batch_norm_stays_frozen():
    net = network(torch.float32).eval()
    convert_sync_batchnorm(net, World(0, 2))
    assert not any(module.training for module in net)


# --- going on ---------------------------------------------------------------------------------------------------------

DROPOUT = (*FEW, "model=mlp_dropout_batch", "model.hidden=[24,16]", "augmentation=standard", "optimizer.momentum=0.9")


def whole_and_in_parts(world):
    whole = train(world, DROPOUT)
    first = train(world, DROPOUT, num_epochs=2)
    torch.rand(7)  # whatever happens in between
    second = train(world, DROPOUT, state=copy.deepcopy(first[1]) if world.rank == 0 else None)
    return bits((whole[0], whole[1])), bits((first[0] + second[0], second[1]))


@pytest.fixture(scope="module")
def stopped():
    return in_ranks(3, whole_and_in_parts)


def test_three_ranks_go_on_bit_for_bit_as_if_they_had_never_stopped(stopped):
    whole, parts = stopped[0]
    assert len(whole[0]) == 4
    assert parts == whole


def test_all_ranks_learn_the_same_bits(stopped):
    learned = [(state["model"], state["optimizer"]) for _, (_, state) in stopped]
    assert learned[0] == learned[1] == learned[2]


def test_a_cell_of_one_device_goes_on_with_two_and_the_other_way_round():
    settings = cell("norm=batch augmentation=standard optimizer.momentum=0.9")
    expected, _ = train(SINGLE_PROCESS, settings)
    begun, state = train(SINGLE_PROCESS, settings, num_epochs=1)
    close(begun + in_ranks(2, train, settings, 99, state)[0][0], expected, 1e-3)
    begun, state = in_ranks(2, train, settings, 1)[0]
    close(begun + train(SINGLE_PROCESS, settings, state=state)[0], expected, 1e-3)
