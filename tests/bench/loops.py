"""One epoch of the same job, three ways: Fashion-MNIST at 16x16, batch 100, SGD lr 0.1, validation after the epoch.

All three train on 54,000 images, validate on the other 6,000, and start from the same network.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from image_sweeps.config.composition import composed, hydra_at
from image_sweeps.dataset import ImageSet, load
from image_sweeps.fit.batches import Normalize, pixels
from image_sweeps.fit.loop import Training
from image_sweeps.model import build

Epoch = Callable[[], float]
"""Runs one epoch, and returns its seconds."""

BATCH_SIZE = 100
OVERRIDES = ["dataset=fashion_mnist", "model=cnn_batch", "epochs=1000", "device=cpu"]


def notebook_style(data_dir: Path, num_train: int, num_val: int, model: nn.Module) -> Epoch:
    """Torchvision's data set, per-image PIL transforms, a DataLoader, `loss.item()` every step."""
    transform = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()])
    whole = datasets.FashionMNIST(str(data_dir), train=True, transform=transform)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(whole), generator=generator).tolist()
    train = Subset(whole, order[:num_train])
    val = Subset(whole, order[num_train : num_train + num_val])
    train_loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(val, batch_size=BATCH_SIZE)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def epoch() -> float:
        started = time.perf_counter()
        model.train()
        cost = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            cost += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        return time.perf_counter() - started

    return epoch


def bare(train: ImageSet, val: ImageSet, model: nn.Module) -> Epoch:
    """The least that trains: the same tensors and layout as ours, no losses kept, no accuracy of the training."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def epoch() -> float:
        started = time.perf_counter()
        model.train()
        for index in torch.randperm(len(train)).split(BATCH_SIZE):
            loss = F.cross_entropy(model(pixels(train.images[index])), train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            logits = torch.cat([model(pixels(images)) for images in val.images.split(500)])
            (logits.argmax(1) == val.labels).float().mean().item()
        return time.perf_counter() - started

    return epoch


def three_ways(data_dir: Path, limit: int | None = None) -> dict[str, Epoch]:
    """The three loops, ready to run an epoch at a time, so that they can take turns; on `limit` images a split."""
    with hydra_at():
        config = composed([*OVERRIDES, f"data_dir='{data_dir.resolve()}'"]).config
    source = config.dataset.build(config.data_dir)
    with tempfile.TemporaryDirectory() as cache:
        splits = load(source, Path(cache))

    train, val = (ImageSet(part.images[:limit], part.labels[:limit]) for part in (splits.train, splits.val))

    def fresh() -> nn.Module:
        return build(config, source.shape, len(source.class_names), torch.device("cpu"))

    epochs = Training(fresh(), train, val, Normalize(splits.mean, splits.std), config).epochs()

    def ours() -> float:
        started = time.perf_counter()
        next(epochs)
        return time.perf_counter() - started

    plain = fresh().to(memory_format=torch.contiguous_format)
    return {
        "notebook-style": notebook_style(data_dir, len(train), len(val), plain),
        "bare loop": bare(train, val, fresh()),
        "this project": ours,
    }
