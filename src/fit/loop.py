"""The training loop, in plain PyTorch.

Nothing in it waits for the device between steps: losses and counts stay there and are read once an epoch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config import Config
from src.dataset import ImageSet
from src.fit.batches import batches, epoch_order, pixels

EVAL_BATCH_SIZE = 500  # nothing is learned from it, so it may be what is fastest


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or not a number: nothing that follows could be trusted."""

    def __init__(self, epoch: int, step: int, num_steps: int, lr: float, loss: float) -> None:
        super().__init__(
            f"the training loss became {loss} in epoch {epoch}, step {step} of {num_steps}, at learning rate {lr:g}. "
            f"Try a smaller optimizer.lr, for example optimizer.lr={lr / 10:g}."
        )


@dataclass(frozen=True)
class Epoch:
    """What one epoch measured. Losses are means over images, accuracies fractions in [0, 1].

    Attributes:
        number: counted from 1.
        train_loss, train_accuracy: of each batch as it was met, before its own step.
        lr: the learning rate of the epoch's first step.
        epoch_s: seconds of training and validation together.
    """

    number: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    epoch_s: float

    def beats(self, best: "Epoch | None") -> bool:
        """Whether validation prefers this epoch: higher accuracy, then lower loss; the earlier one where both tie."""
        return best is None or (self.val_accuracy, -self.val_loss) > (best.val_accuracy, -best.val_loss)


def fit(model: nn.Module, train: ImageSet, val: ImageSet, config: Config) -> Iterator[Epoch]:
    """Train `model` in place, and give each epoch's measurements when it is over.

    Args:
        model: on the device of the images.
        train: what the weights are learned from.
        val: what every epoch is measured on.
        config: the cell's.

    Raises:
        NonFiniteLossError: at the end of the epoch in which it happened.
    """
    optimizer: torch.optim.Optimizer = config.optimizer.build(model.parameters())
    scheduler: torch.optim.lr_scheduler.LRScheduler = config.scheduler.build(optimizer)
    bf16 = config.precision == "bf16"
    for number in range(1, config.epochs + 1):
        started = time.perf_counter()
        lr = float(optimizer.param_groups[0]["lr"])
        order = epoch_order(len(train), config.seed, number).to(train.labels.device)
        steps = batches(order, config.batch_size)
        train_loss, train_accuracy = _train_epoch(model, optimizer, train, steps, bf16, number)
        scheduler.step()
        logits_NK = predict(model, val, bf16)
        val_loss = F.cross_entropy(logits_NK, val.labels).item()
        val_accuracy = (logits_NK.argmax(1) == val.labels).float().mean().item()
        yield Epoch(number, train_loss, train_accuracy, val_loss, val_accuracy, lr, time.perf_counter() - started)


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: ImageSet,
    steps: list[Tensor],
    bf16: bool,
    epoch: int,
) -> tuple[float, float]:
    """One pass over the training images. Returns the mean loss and the accuracy over all of them."""
    device = train.labels.device
    losses = torch.empty(len(steps), device=device)
    num_correct = torch.zeros((), dtype=torch.int64, device=device)
    model.train()
    for step, index in enumerate(steps):
        images_NCHW, labels_N = pixels(train.images[index]), train.labels[index]
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits_NK = model(images_NCHW)
            loss = F.cross_entropy(logits_NK, labels_N)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses[step] = loss.detach()
        num_correct += (logits_NK.argmax(1) == labels_N).sum()
    sizes = torch.tensor([len(index) for index in steps], dtype=torch.float32)
    losses = losses.cpu()
    if not losses.isfinite().all():
        bad = int((~losses.isfinite()).nonzero()[0])
        raise NonFiniteLossError(epoch, bad + 1, len(steps), float(optimizer.param_groups[0]["lr"]), losses[bad].item())
    return (losses.dot(sizes) / sizes.sum()).item(), num_correct.item() / len(train)


@torch.inference_mode()
def predict(model: nn.Module, images: ImageSet, bf16: bool = False) -> Tensor:
    """The logits of all images in their order, float32, N x K, on the device of the model."""
    model.eval()
    with torch.autocast(images.labels.device.type, torch.bfloat16, enabled=bf16):
        parts = [model(pixels(part)) for part in torch.split(images.images, EVAL_BATCH_SIZE)]
    return torch.cat(parts).float()
