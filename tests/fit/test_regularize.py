import pytest
import torch
from torch import nn

from image_sweeps.fit.loop import Training
from image_sweeps.fit.regularize import decay_split, parameter_groups, penalty
from tests.support.training import training


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def test_the_penalty_is_half_the_sum_of_squares():
    parameters = [nn.Parameter(torch.tensor([[3.0]])), nn.Parameter(torch.tensor([1.0, 2.0]))]
    assert penalty(parameters, 0.1).item() == pytest.approx(0.05 * (9 + 1 + 4))


def test_its_gradient_is_l2_times_the_weight():
    w = nn.Parameter(torch.tensor([[3.0, -2.0]]))
    penalty([w], 0.1).backward()
    torch.testing.assert_close(w.grad, 0.1 * w.detach())


def test_biases_and_norms_are_left_out_by_the_switch(net):
    chosen, others = decay_split(net, regularize_all=False)
    assert [tuple(p.shape) for p in chosen] == [(2, 1, 3, 3), (3, 8)]
    assert len(others) == 4
    assert decay_split(net, regularize_all=True) == (list(net.parameters()), [])


def test_the_spared_parameters_have_no_decay(net):
    decayed, spared = parameter_groups(net, regularize_all=False)
    assert "weight_decay" not in decayed
    assert spared["weight_decay"] == 0
    optimizer = torch.optim.SGD([decayed, spared], lr=0.1, weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_frozen_parameters_are_not_trained(net):
    net[0].weight.requires_grad = False
    assert sum(len(group["params"]) for group in parameter_groups(net, regularize_all=True)) == 5


@pytest.mark.parametrize("regularize_all", [True, False])
def test_for_sgd_the_penalty_is_the_same_as_weight_decay(regularize_all):
    switch = f"regularize_all={regularize_all}"
    by_penalty = training("epochs=1", "l2=0.05", switch)
    by_decay = training("epochs=1", "optimizer.weight_decay=0.05", switch)
    (epoch,), (other,) = list(by_penalty.epochs()), list(by_decay.epochs())
    assert epoch.train_loss == pytest.approx(other.train_loss, rel=1e-5)
    assert epoch.penalty > 0 == other.penalty
    for one, two in zip(by_penalty.model.parameters(), by_decay.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=0)


def test_clipping_bounds_the_step():
    run: Training = training("epochs=1", "clip_grad_norm=0.01", "batch_size=2000", "optimizer.lr=1.0")
    before = [p.detach().clone() for p in run.model.parameters()]
    next(run.epochs())
    moved = torch.stack([(p - b).norm() for p, b in zip(run.model.parameters(), before, strict=True)]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
