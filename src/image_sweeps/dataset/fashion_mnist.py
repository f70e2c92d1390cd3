"""Fashion-MNIST, through torchvision: images of clothing, in files of MNIST's format."""

from dataclasses import dataclass
from typing import ClassVar

from image_sweeps.dataset.mnist import MNIST


@dataclass(frozen=True)
class FashionMNIST(MNIST):
    """60,000 + 10,000 grey 28x28 images of clothing, 10 classes (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747)."""

    name: ClassVar[str] = "fashion_mnist"
    origin: ClassVar[str] = "torchvision.datasets.FashionMNIST"
    torchvision_name: ClassVar[str] = "FashionMNIST"
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
