import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.configurations import choices, config_of


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_an_optimizer_finds_the_minimum_of_a_quadratic(optimizer):
    w = nn.Parameter(torch.tensor([3.0, -2.0]))
    step = config_of(f"optimizer={optimizer}", "optimizer.lr=0.1", "optimizer.weight_decay=0").optimizer.build([w])
    for _ in range(400):
        step.zero_grad()
        ((w - torch.tensor([1.0, 2.0])) ** 2).sum().backward()
        step.step()
    torch.testing.assert_close(w.detach(), torch.tensor([1.0, 2.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("optimizer", choices("optimizer"))
def test_an_optimizer_goes_on_from_its_state_as_if_never_stopped(optimizer):
    def steps(w, step, num):
        for _ in range(num):
            step.zero_grad()
            (w**4).sum().backward()
            step.step()

    part = config_of(f"optimizer={optimizer}", *(["optimizer.momentum=0.9"] if optimizer == "sgd" else [])).optimizer
    through = nn.Parameter(torch.tensor([1.0, -0.5]))
    steps(through, step := part.build([through]), 5)
    resumed, state = nn.Parameter(through.detach().clone()), copy.deepcopy(step.state_dict())
    steps(through, step, 5)
    again = part.build([resumed])
    again.load_state_dict(state)
    steps(resumed, again, 5)
    assert torch.equal(through, resumed)


GRADIENTS = np.array([[0.3, -1.0], [0.1, 0.4], [-0.7, 0.2]])


def weights_after(part):
    w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    step = part.build([w])
    for gradient in GRADIENTS:
        w.grad = torch.tensor(gradient)
        step.step()
    return w.detach().numpy()


def test_sgd_follows_its_equations():
    lr, momentum, decay = 0.1, 0.9, 0.01
    for nesterov in (False, True):
        w, v = np.array([1.0, -2.0]), np.zeros(2)
        for gradient in GRADIENTS:
            g = gradient + decay * w
            v = momentum * v + g
            w = w - lr * (g + momentum * v if nesterov else v)
        settings = [
            f"optimizer.momentum={momentum}",
            f"optimizer.weight_decay={decay}",
            f"optimizer.nesterov={nesterov}",
        ]
        ours = weights_after(config_of("optimizer=sgd", f"optimizer.lr={lr}", *settings).optimizer)
        np.testing.assert_allclose(ours, w, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_follows_algorithm_1_of_its_paper(optimizer):
    lr, (b1, b2), eps, decay = 0.05, (0.8, 0.95), 1e-6, 0.1
    w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(GRADIENTS, start=1):
        if optimizer == "adamw":
            w = w - lr * decay * w
            g = gradient
        else:
            g = gradient + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    settings = [f"optimizer.betas=[{b1},{b2}]", f"optimizer.eps={eps}", f"optimizer.weight_decay={decay}"]
    ours = weights_after(config_of(f"optimizer={optimizer}", f"optimizer.lr={lr}", *settings).optimizer)
    np.testing.assert_allclose(ours, w, rtol=1e-7)
