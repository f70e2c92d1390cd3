import copy
import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR

from image_sweeps.config.problems import ConfigError
from tests.support.configurations import choices, config_of

EPOCHS, STEPS = 6, 5


def an_optimizer(lr=0.4):
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    return torch.optim.SGD(
        [{"params": [p], "lr": rate} for p, rate in zip(parameters, (lr, lr / 2), strict=True)], lr=lr, momentum=0.9
    )


def rates_of(optimizer, after_step, after_epoch=lambda loss: None, losses=(1.0,) * EPOCHS):
    rates = []
    for loss in losses:
        for _ in range(STEPS):
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            after_step()
        after_epoch(loss)
    return rates


def ours(*overrides, losses=(1.0,) * EPOCHS):
    optimizer = an_optimizer()
    schedule = config_of(f"epochs={EPOCHS}", *overrides).scheduler.build(optimizer, EPOCHS, STEPS)
    return rates_of(optimizer, schedule.after_step, schedule.after_epoch, losses)


def close(rates, expected):
    torch.testing.assert_close(torch.tensor(rates), torch.tensor(expected))


@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_a_schedule_goes_on_from_its_state_as_if_never_stopped(scheduler):
    part = config_of(f"scheduler={scheduler}", f"epochs={EPOCHS}").scheduler
    optimizer = an_optimizer()
    schedule = part.build(optimizer, EPOCHS, STEPS)
    for _ in range(2 * STEPS):
        optimizer.step()
        schedule.after_step()
    schedule.after_epoch(2.0)
    state = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
    expected = rates_of(optimizer, schedule.after_step, schedule.after_epoch, (3.0, 3.0, 3.0, 3.0))
    resumed = an_optimizer()
    schedule = part.build(resumed, EPOCHS, STEPS)
    resumed.load_state_dict(state[0])
    schedule.load_state_dict(state[1])
    assert rates_of(resumed, schedule.after_step, schedule.after_epoch, (3.0, 3.0, 3.0, 3.0)) == expected


@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_the_state_of_a_schedule_is_plain(scheduler, tmp_path):
    schedule = config_of(f"scheduler={scheduler}", f"epochs={EPOCHS}").scheduler.build(an_optimizer(), EPOCHS, STEPS)
    torch.save(schedule.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True) == schedule.state_dict()


def test_without_a_schedule_the_rate_stays():
    close(ours("scheduler=none"), [[0.4, 0.2]] * (EPOCHS * STEPS))


def test_step_is_torchs():
    optimizer = an_optimizer()
    theirs = StepLR(optimizer, step_size=2 * STEPS, gamma=0.3)
    close(ours("scheduler=step", "scheduler.every_epochs=2", "scheduler.gamma=0.3"), rates_of(optimizer, theirs.step))


def test_cosine_is_torchs():
    optimizer = an_optimizer()
    theirs = CosineAnnealingLR(optimizer, T_max=EPOCHS * STEPS)
    close(ours("scheduler=cosine"), rates_of(optimizer, theirs.step))


def test_cosine_ends_at_the_least_factor_and_starts_after_the_warm_up():
    rates = torch.tensor(ours("scheduler=cosine", "scheduler.min_factor=0.1", "scheduler.warmup_epochs=1"))[:, 0]
    torch.testing.assert_close(rates[:STEPS], 0.4 * torch.arange(1, STEPS + 1) / STEPS)
    half = STEPS + (EPOCHS - 1) * STEPS / 2  # between two steps
    torch.testing.assert_close(
        (rates[math.floor(half)] + rates[math.ceil(half)]) / 2, torch.tensor(0.4 * 0.55), rtol=1e-3, atol=0
    )
    assert 0.04 < rates[-1] < 0.05


def test_onecycle_is_torchs():
    optimizer = an_optimizer()
    theirs = OneCycleLR(
        optimizer, max_lr=[0.4, 0.2], total_steps=EPOCHS * STEPS + 1, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    close(ours("scheduler=onecycle"), rates_of(optimizer, theirs.step))


def test_onecycle_reaches_the_configured_rate_and_never_more():
    rates = torch.tensor(ours("scheduler=onecycle"))[:, 0]
    assert 0.395 < rates.max() <= 0.4 + 1e-6  # the peak may lie between two steps
    assert rates[0] == pytest.approx(0.4 * 0.04)


def test_plateau_is_torchs():
    losses = [1.0, 0.9, 0.95, 0.93, 0.9, 0.91, 0.2, 0.3, 0.3, 0.3, 0.3]
    optimizer = an_optimizer()
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=1e-3)
    expected = rates_of(optimizer, lambda: None, theirs.step, losses)
    settings = ("scheduler.factor=0.5", "scheduler.patience=1", "scheduler.threshold=1e-3")
    close(ours("scheduler=plateau", *settings, losses=losses), expected)
    assert len({rate for rate, _ in expected}) > 2


@pytest.mark.parametrize("scheduler", [s for s in choices("scheduler") if s != "onecycle"])
def test_a_warm_up_rises_in_a_straight_line(scheduler):
    rates = torch.tensor(ours(f"scheduler={scheduler}", "scheduler.warmup_epochs=0.8"))[:, 0]
    torch.testing.assert_close(rates[:4], 0.4 * torch.tensor([0.25, 0.5, 0.75, 1.0]), rtol=1e-3, atol=0)


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(ConfigError, match=r"scheduler\.warmup_epochs = 5: must be below epochs = 5"):
        config_of("scheduler=cosine", "scheduler.warmup_epochs=5")
