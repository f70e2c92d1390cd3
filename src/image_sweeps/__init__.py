"""A Hydra-orchestrated sweep framework for image classification in PyTorch."""
