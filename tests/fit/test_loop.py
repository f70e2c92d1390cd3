import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.dataset import ImageSet
from src.fit.loop import Epoch, NonFiniteLossError, fit, predict
from src.model import build
from tests.conftest import choices, config_of

BASELINES = Path(__file__).parent / "baselines.json"
CPU = torch.device("cpu")


def digits(*overrides):
    config = config_of(*overrides)
    source = config.dataset.build(config.data_dir)
    return config, source, source.load()


def trained(*overrides):
    config, source, splits = digits(*overrides)
    net = build(config, source.shape, len(source.class_names), CPU)
    return net, list(fit(net, splits.train, splits.val, config))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_repeats_bit_for_bit(precision):
    (first, history), (again, history_again) = (
        trained("model=cnn_batch", "epochs=2", f"precision={precision}", "seed=5") for _ in range(2)
    )
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
    same = ("number", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")
    assert [[getattr(e, k) for k in same] for e in history] == [[getattr(e, k) for k in same] for e in history_again]


def test_an_epoch_is_what_a_plain_loop_over_the_same_batches_does():
    from src.fit.batches import batches, epoch_order

    config, source, splits = digits("epochs=1", "batch_size=64")
    net, plain = (build(config, source.shape, 10, CPU) for _ in range(2))
    epoch = next(fit(net, splits.train, splits.val, config))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    losses, hits = [], 0
    for index in batches(epoch_order(len(splits.train), 0, 1), 64):
        images, labels = splits.train.images[index].float() / 255, splits.train.labels[index]
        logits = plain(images)
        per_image = F.cross_entropy(logits, labels, reduction="none")
        optimizer.zero_grad()
        per_image.mean().backward()
        optimizer.step()
        losses += per_image.tolist()
        hits += (logits.argmax(1) == labels).sum().item()
    plain.eval()
    logits = plain(splits.val.images.float() / 255)
    assert epoch.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert epoch.train_accuracy == hits / len(splits.train)
    assert epoch.val_loss == pytest.approx(F.cross_entropy(logits, splits.val.labels).item(), rel=1e-5)
    assert epoch.val_accuracy == pytest.approx((logits.argmax(1) == splits.val.labels).float().mean().item())


def test_predict_counts_the_last_partial_batch_and_keeps_the_order(monkeypatch):
    monkeypatch.setattr("src.fit.loop.EVAL_BATCH_SIZE", 7)
    images = ImageSet(torch.randint(0, 256, (16, 1, 4, 4), dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    torch.testing.assert_close(predict(net, images), net(images.images.float() / 255))


def test_predict_does_not_touch_running_statistics():
    config, source, splits = digits("model=cnn_batch")
    net = build(config, source.shape, 10, CPU).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    predict(net, splits.val)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_a_leftover_image_does_not_stop_batch_norm():
    config, source, splits = digits("model=cnn_batch", "epochs=1", "batch_size=323")  # 1,293 = 4 x 323 + 1
    net = build(config, source.shape, 10, CPU)
    assert len(list(fit(net, splits.train, splits.val, config))) == 1


def test_a_loss_that_is_not_finite_names_epoch_step_and_rate():
    with pytest.raises(
        NonFiniteLossError,
        match=r"became (nan|inf) in epoch 1, step \d+ of 13, at learning rate 1e\+30\. Try a smaller optimizer\.lr",
    ):
        trained("optimizer.lr=1e30")


def test_the_better_epoch_has_higher_accuracy_then_lower_loss_then_comes_first():
    def epoch(accuracy, loss):
        return Epoch(1, 0.0, 0.0, loss, accuracy, 0.1, 0.0)

    assert epoch(0.5, 1.0).beats(None)
    assert epoch(0.6, 2.0).beats(epoch(0.5, 1.0))
    assert epoch(0.5, 0.9).beats(epoch(0.5, 1.0))
    assert not epoch(0.5, 1.0).beats(epoch(0.5, 1.0))


def twenty_steps(model):
    """The loss of each of the first 20 steps on digits, one image set of 100 a step."""
    config, source, splits = digits(f"model={model}", "epochs=20")
    net = build(config, source.shape, 10, CPU)
    first_hundred = splits.train[torch.arange(100)]
    return [epoch.train_loss for epoch in fit(net, first_hundred, splits.val, config)]


@pytest.mark.parametrize("model", choices("model"))
def test_the_first_twenty_steps_lose_what_they_lost_before(model):
    """A change of these curves is a change of training: `python -m tests.fit.test_loop` rewrites them, on purpose."""
    assert twenty_steps(model) == pytest.approx(json.loads(BASELINES.read_text())[model], rel=2e-3)


if __name__ == "__main__":
    curves = {model: [round(loss, 6) for loss in twenty_steps(model)] for model in choices("model")}
    BASELINES.write_text(json.dumps(curves, indent=1) + "\n")
