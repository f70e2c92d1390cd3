import os
from pathlib import Path

import pytest
import torch

from image_sweeps.dataset import Shape
from image_sweeps.model import build
from tests.bench import overhead
from tests.bench.notebook import network
from tests.support.configurations import config_of


@pytest.mark.fashion
def test_the_three_loops_of_the_benchmark_run_on_as_many_images():
    from tests.bench.loops import three_ways

    loops = three_ways(Path(os.environ["DATA_DIR"]), limit=300)
    assert list(loops) == ["notebook-style", "bare loop", "this project"]
    assert all(epoch() > 0 for epoch in loops.values())


@pytest.mark.soak  # a measurement of its own, for whoever works on this project
def test_the_overhead_is_that_of_the_command_in_the_readme():
    cost = overhead.sweep("model=cnn", "epochs=1", "dataset.image_size=8")
    assert cost.num_cells == 1
    assert 0 < cost.train_s < cost.wall_s


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_notebook_trains_the_networks_of_the_configurations(batch_norm):
    config = config_of("model=cnn_batch" if batch_norm else "model=cnn", "dataset.image_size=16")
    ours = build(config, Shape(1, 16, 16), 10, torch.device("cpu"))
    shapes = [parameter.shape for parameter in ours.parameters()]
    assert [parameter.shape for parameter in network(batch_norm).parameters()] == shapes
