"""The training loop, in plain PyTorch.

The loop never waits for the device between steps: losses and counts stay on the device and are read once per epoch.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from image_sweeps.augmentation import Augmentation
from image_sweeps.config.schema import Config
from image_sweeps.dataset import Images
from image_sweeps.fit import device
from image_sweeps.fit.batch_norm import convert_sync_batchnorm
from image_sweeps.fit.batches import Normalize, batches, epoch_generator, epoch_order, pixels, rank_seed
from image_sweeps.fit.epoch import Epoch
from image_sweeps.fit.parallel import SINGLE_PROCESS, STOP, World
from image_sweeps.fit.regularize import decay_split, parameter_groups, penalty
from image_sweeps.scheduler import Schedule

EVAL_BATCH_SIZE = 500  # chosen for speed, because nothing is learned from these batches


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or NaN, so that no later result could be trusted."""

    def __init__(self, epoch: int, step: int, num_steps: int, lr: float, loss: float) -> None:
        super().__init__(
            f"the training loss became {loss} in epoch {epoch}, step {step} of {num_steps}, at learning rate {lr:g}. "
            f"Try a smaller optimizer.lr, for example optimizer.lr={lr / 10:g}."
        )


class Training:
    """The complete state of a cell during its training.

    Args:
        model: the network, on the device of the images; it is trained in place.
        train: the images that the weights are learned from.
        val: the images that every epoch is evaluated on.
        normalize: the normalisation of the images, on the same device.
        config: the configuration of the cell.
        world: the processes that train the cell, each with its share of every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Images,
        val: Images,
        normalize: Normalize,
        config: Config,
        world: World = SINGLE_PROCESS,
    ) -> None:
        self.model, self.train, self.val, self.normalize, self.config = model, train, val, normalize, config
        self.world = world
        if world.size > 1:
            convert_sync_batchnorm(model, world)
        self.forward: Any = torch.compile(model) if config.compile else model
        self.augmentation: Augmentation = config.augmentation.build()
        self.penalized, _ = decay_split(model, config.regularize_all)
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer = config.optimizer.build(parameter_groups(model, config.regularize_all))
        steps_per_epoch = len(batches(torch.arange(len(train)), config.batch_size))
        self.schedule: Schedule = config.scheduler.build(self.optimizer, config.epochs, steps_per_epoch)
        self.num_done = 0

    def epochs(self) -> Iterator[Epoch]:
        """Train the remaining epochs, and yield the measurements of each epoch when it ends.

        Raises:
            NonFiniteLossError: at the end of the epoch in which the loss became infinite or NaN.
        """
        self.world.broadcast_state(self.state_dict())
        for number in range(self.num_done + 1, self.config.epochs + 1):
            self.world.broadcast(number)
            yield self._epoch(number)

    def train_as_other_rank(self) -> None:
        """Train as a rank other than 0: take over the state of rank 0, then train the epochs that it announces."""
        if (state := self.world.receive_state()) is None:
            return
        self.load_state_dict(state)
        while (number := self.world.receive()) != STOP:
            torch.manual_seed(rank_seed(self.config.seed, number, self.world.rank))
            self._epoch(number)

    def _epoch(self, number: int) -> Epoch:
        started = time.perf_counter()
        lr = self.lr
        order = epoch_order(len(self.train), self.config.seed, number).to(self.train.device)
        sums = self._train(batches(order, self.config.batch_size), number)
        logits_NK = predict(self.forward, self.val, self.normalize, self.config, self.world)
        val_loss = F.cross_entropy(logits_NK, self.val.labels).item()
        val_accuracy = (logits_NK.argmax(1) == self.val.labels).double().mean().item()
        self.schedule.after_epoch(val_loss)
        self.num_done = number
        self.world.barrier()
        epoch_s, ended_ms = time.perf_counter() - started, int(time.time() * 1000)
        return Epoch(number, *sums, val_loss, val_accuracy, lr, epoch_s, ended_ms)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain containers from which training continues as if it had never stopped.

        The order of the batches and the augmentation are drawn anew in every epoch. Dropout draws from torch's own
        generators, whose states are therefore included.
        """
        return {
            "num_done": self.num_done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": device.random_state(self.train.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state`, including torch's generators: nothing may draw from them before the next epoch."""
        self.num_done = state["num_done"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        device.set_random_state(state["random"], self.train.device)

    def first_batch(self) -> tuple[Tensor, Tensor]:
        """Return the first batch before normalisation: float32 in [0, 1], n x C x H x W, and int64 labels, n."""
        steps = batches(epoch_order(len(self.train), self.config.seed, 1).to(self.train.device), self.config.batch_size)
        ((images_NCHW, labels_N),) = self.train.batches(steps[:1])
        draws_NK = self.augmentation.draws(len(labels_N), self._generator(1))
        return self.augmentation(pixels(images_NCHW), draws_NK), labels_N

    def _generator(self, epoch: int) -> torch.Generator:
        """Return the random number generator for the augmentation of an epoch."""
        return epoch_generator(self.config.seed, epoch, stream=1)

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _train(self, steps: list[Tensor], epoch: int) -> "_Means":
        """Train on this rank's share of every batch, once over the training images."""
        config, place, share = self.config, self.train.device, self.world.share
        losses, penalties = sums = torch.zeros(2, len(steps), device=place)
        num_correct = torch.zeros((), dtype=torch.int64, device=place)
        generator = self._generator(epoch)
        rates = []
        self.model.train()
        for step, (images_NCHW, labels_N) in enumerate(self.train.batches([share(index) for index in steps])):
            rates.append(self.lr)
            draws_NK = share(self.augmentation.draws(len(steps[step]), generator))
            inputs_NCHW = self.normalize(self.augmentation(pixels(images_NCHW), draws_NK))
            with torch.autocast(place.type, torch.bfloat16, enabled=config.precision == "bf16"):
                logits_NK = self.forward(inputs_NCHW)
                loss = _share_of_mean(logits_NK, labels_N, len(steps[step]), config.label_smoothing)
            losses[step] = loss.detach()
            if config.l2 and self.world.rank == 0:  # on one rank only: the ranks are summed
                extra = penalty(self.penalized, config.l2)
                penalties[step] = extra.detach()
                loss = loss + extra
            self._step(loss)
            num_correct += (logits_NK.argmax(1) == labels_N).sum()
        sizes = torch.tensor([len(index) for index in steps], dtype=torch.float32)
        losses, penalties = self.world.sum(sums).cpu()
        _refuse_non_finite(losses + penalties, epoch, rates)
        train_loss = (losses.dot(sizes) / sizes.sum()).item()
        return _Means(train_loss, self.world.sum(num_correct).item() / len(self.train), penalties.mean().item())

    def _step(self, loss: Tensor) -> None:
        """Update the weights by the gradient of `loss`, summed over the ranks, and step the learning rate schedule."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.world.sum_gradients(self.trainable)
        if self.config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trainable, self.config.clip_grad_norm)
        self.optimizer.step()
        self.schedule.after_step()


class _Means(NamedTuple):
    train_loss: float
    train_accuracy: float
    penalty: float


def _share_of_mean(logits_NK: Tensor, labels_N: Tensor, batch_size: int, smoothing: float) -> Tensor:
    """Return the contribution of these images to the mean cross-entropy of their batch of `batch_size` images."""
    if len(labels_N) == batch_size:
        return F.cross_entropy(logits_NK, labels_N, label_smoothing=smoothing)
    return F.cross_entropy(logits_NK, labels_N, reduction="sum", label_smoothing=smoothing) / batch_size


def _refuse_non_finite(losses: Tensor, epoch: int, rates: list[float]) -> None:
    if not losses.isfinite().all():
        bad = int((~losses.isfinite()).nonzero()[0])
        raise NonFiniteLossError(epoch, bad + 1, len(losses), rates[bad], losses[bad].item())


@torch.inference_mode()
def predict(
    model: nn.Module, images: Images, normalize: Normalize, config: Config, world: World = SINGLE_PROCESS
) -> Tensor:
    """Return the logits of all images in their order, float32, N x K, on the device of the images.

    The ranks of `world` take turns, batch by batch: each batch gives the same bits as on a single rank.
    """
    model.eval()
    steps = torch.split(torch.arange(len(images), device=images.device), EVAL_BATCH_SIZE)
    own = steps[world.rank :: world.size] or (steps[0][:0],)  # an empty batch still gives the number of classes
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
        parts = [model(normalize(pixels(part_NCHW))) for part_NCHW, _ in images.batches(own)]
    logits_NK = torch.cat(parts).float()
    if world.size == 1:
        return logits_NK
    all_logits_NK = logits_NK.new_zeros(len(images), logits_NK.shape[1])
    all_logits_NK[torch.cat(own)] = logits_NK
    return world.sum(all_logits_NK)
