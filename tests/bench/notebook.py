"""Study 2 as a notebook does it, in a process of its own: what a sweep over the same two networks is compared with.

    python -m tests.bench.notebook --data DATA_DIR --batch-norm

torchvision's data set, per-image PIL transforms, a DataLoader, a plain loop, and all test images after every epoch.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def network(batch_norm: bool) -> nn.Sequential:
    """conf/model/cnn.yaml at 16x16, or cnn_batch.yaml, written out."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32)):
        norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
        layers += [nn.Conv2d(inputs, outputs, 5, padding=2), *norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(32 * 4 * 4, 10), *([nn.BatchNorm1d(10)] if batch_norm else [])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-norm", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    transform = transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor()])
    train = datasets.FashionMNIST(str(arguments.data), train=True, transform=transform)
    test = datasets.FashionMNIST(str(arguments.data), train=False, transform=transform)
    train_loader = DataLoader(train, batch_size=100, shuffle=True)
    test_loader = DataLoader(test, batch_size=100)
    model = network(arguments.batch_norm)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(arguments.epochs):
        model.train()
        cost = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            cost += loss.item()
        model.eval()
        with torch.no_grad():
            correct = sum((model(images).argmax(1) == labels).sum().item() for images, labels in test_loader)
        print(json.dumps({"loss": cost / len(train_loader), "accuracy": correct / len(test)}))


if __name__ == "__main__":
    main()
