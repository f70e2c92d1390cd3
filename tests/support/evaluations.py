"""What there is to draw of a cell: a network's verdict on a test split, images of it, and epochs."""

import torch

from image_sweeps.fit.epoch import Epoch
from image_sweeps.fit.evaluate import evaluate


def evaluated(num_classes=10, num_images=100, strength=2.0, seed=0):
    """A network that is often right, on images of all classes in turn."""
    labels = torch.arange(num_images) % num_classes
    logits = torch.randn(num_images, num_classes, generator=torch.Generator().manual_seed(seed))
    logits[torch.arange(num_images), labels] += strength
    return evaluate(logits, labels)


def images_of(num_images, size=8, channels=1):
    return torch.randint(0, 256, (num_images, channels, size, size), dtype=torch.uint8)


def epochs(count):
    return [Epoch(n, 1.0 / n, 0.5, 0.0, 0.9, 0.7 + n / 1000, 0.1, 1.0, n) for n in range(1, count + 1)]
