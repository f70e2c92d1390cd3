import copy
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from image_sweeps.dataset import ImageSet
from image_sweeps.fit.batches import Normalize, batches, epoch_order
from image_sweeps.fit.loop import NonFiniteLossError, predict
from tests.support.configurations import choices, config_of
from tests.support.training import measured, training

BASELINES = Path(__file__).parent / "baselines.json"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("augmentation", choices("augmentation"))
def test_a_run_repeats_bit_for_bit(precision, augmentation):
    settings = ("model=cnn_batch", "epochs=2", f"precision={precision}", f"augmentation={augmentation}", "seed=5")
    first, again = training(*settings), training(*settings)
    assert [measured(epoch) for epoch in first.epochs()] == [measured(epoch) for epoch in again.epochs()]
    state, state_again = first.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(state[key], state_again[key]) for key in state)


def test_an_epoch_is_what_a_plain_loop_over_the_same_batches_does():
    settings = ("epochs=1", "batch_size=64", "dataset.normalize=half", "label_smoothing=0.1")
    run, plain = training(*settings), training(*settings)
    (epoch,) = run.epochs()
    net, train, val = plain.model, plain.train, plain.val
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses, hits = [], 0
    for index in batches(epoch_order(len(train), 0, 1), 64):
        logits = net(train.images[index].float() / 127.5 - 1)
        per_image = F.cross_entropy(logits, train.labels[index], reduction="none", label_smoothing=0.1)
        optimizer.zero_grad()
        per_image.mean().backward()
        optimizer.step()
        losses += per_image.tolist()
        hits += (logits.argmax(1) == train.labels[index]).sum().item()
    net.eval()
    logits = net(val.images.float() / 127.5 - 1)
    assert epoch.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert epoch.train_accuracy == pytest.approx(hits / len(train), abs=2 / len(train))
    assert epoch.val_loss == pytest.approx(F.cross_entropy(logits, val.labels).item(), rel=1e-3)
    assert epoch.val_accuracy == pytest.approx((logits.argmax(1) == val.labels).double().mean().item(), abs=0.01)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_training_loss_is_cross_entropy_with_a_smoothed_target(smoothing):
    """Szegedy et al., 2015, section 7: the target is (1 - s) of the label and s / K of every class."""
    run = training("epochs=1", "batch_size=2000", f"label_smoothing={smoothing}")
    net = copy.deepcopy(run.model)
    (epoch,) = run.epochs()  # one step, whose loss is that of the weights before it
    logits = net(run.train.images.float() / 255).detach().double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = (1 - smoothing) * np.eye(10)[run.train.labels] + smoothing / 10
    assert epoch.train_loss == pytest.approx(-(target * log_p).sum(1).mean(), rel=1e-5)


def test_streamed_images_train_as_those_in_memory_do():
    settings = ("model=cnn_batch", "epochs=2", "dataset.image_size=32", "augmentation=standard")
    held, streamed = training(*settings), training(*settings, "dataset.memory_budget_mb=1")
    assert type(held.train) is not type(streamed.train)
    assert [measured(epoch) for epoch in held.epochs()] == [measured(epoch) for epoch in streamed.epochs()]


def test_only_training_images_are_augmented():
    """With a rate of almost nothing the network stays as it was, and so does what validation measures."""
    settings = ("epochs=1", "optimizer.lr=1e-30")
    (plain,), (augmented,) = (
        list(training(*settings, f"augmentation={choice}").epochs()) for choice in ("none", "standard")
    )
    assert plain.val_loss == augmented.val_loss
    assert plain.train_loss != augmented.train_loss


def test_predict_counts_the_last_partial_batch_and_keeps_the_order(monkeypatch):
    monkeypatch.setattr("image_sweeps.fit.loop.EVAL_BATCH_SIZE", 7)
    images = ImageSet(torch.randint(0, 256, (16, 1, 4, 4), dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    logits = predict(net, images, Normalize((0.0,), (1.0,)), config_of())
    torch.testing.assert_close(logits, net(images.images.float() / 255))


def test_predict_does_not_touch_running_statistics():
    run = training("model=cnn_batch")
    before = {key: value.clone() for key, value in run.model.train().state_dict().items()}
    predict(run.model, run.val, run.normalize, run.config)
    assert all(torch.equal(before[key], value) for key, value in run.model.state_dict().items())


def test_a_leftover_image_does_not_stop_batch_norm():
    run = training("model=cnn_batch", "epochs=1", "batch_size=323")  # 1,293 = 4 x 323 + 1
    assert len(list(run.epochs())) == 1


def test_the_rate_of_an_epoch_is_that_of_its_first_step():
    rates = [epoch.lr for epoch in training("scheduler=step", "scheduler.every_epochs=1", "epochs=3").epochs()]
    assert rates == pytest.approx([0.1, 0.01, 0.001])


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_a_loss_that_is_not_finite_names_epoch_step_and_rate(l2):
    with pytest.raises(
        NonFiniteLossError,
        match=r"became (nan|inf) in epoch 1, step \d+ of 13, at learning rate 1e\+30\. Try a smaller optimizer\.lr",
    ):
        list(training("optimizer.lr=1e30", f"l2={l2}").epochs())


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.soak)])
def test_a_compiled_network_trains_the_same(monkeypatch, backend):
    """What is taken from the network is in both; `inductor` has it translated by a C++ compiler, for half a minute."""
    if backend == "inductor" and not compiles():
        pytest.skip("there is no compiler for torch.compile here")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    settings = ("epochs=1", "dataset.image_size=8")
    (plain,), (compiled,) = (list(training(*settings, f"compile={switch}").epochs()) for switch in (False, True))
    assert compiled.val_loss == pytest.approx(plain.val_loss, rel=1e-3)


def compiles():
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1))
    except Exception:  # whatever a missing compiler raises
        return False
    return True


GENTLE = {"resnet18": ("dataset.image_size=8", "optimizer.lr=0.0001")}
"""A deep network at a high rate multiplies rounding errors until the curve depends on the number of threads."""


def twenty_steps(model):
    """The loss of each of the first 20 steps on the first 32 digits, all of them in every step."""
    run = training(f"model={model}", "epochs=20", *GENTLE.get(model, ()))
    few = ImageSet(run.train.images[:32], run.train.labels[:32])
    again = type(run)(run.model, few, few, run.normalize, run.config)
    return [epoch.train_loss for epoch in again.epochs()]


@pytest.mark.parametrize("model", choices("model"))
def test_the_first_twenty_steps_lose_what_they_lost_before(model):
    """A change of these curves is a change of training: `python -m tests.fit.test_loop` rewrites them, on purpose."""
    assert twenty_steps(model) == pytest.approx(json.loads(BASELINES.read_text())[model], rel=5e-3)


if __name__ == "__main__":
    curves = {model: [round(loss, 6) for loss in twenty_steps(model)] for model in choices("model")}
    BASELINES.write_text(json.dumps(curves, indent=1) + "\n")
