import os
from pathlib import Path

import pytest

from tests.bench import overhead


@pytest.mark.fashion
def test_the_three_loops_of_the_benchmark_run_on_as_many_images():
    from tests.bench.loops import three_ways

    loops = three_ways(Path(os.environ["DATA_DIR"]), limit=300)
    assert list(loops) == ["notebook-style", "bare loop", "this project"]
    assert all(epoch() > 0 for epoch in loops.values())


def test_the_overhead_is_that_of_the_command_in_the_readme():
    wall_s, train_s, num_cells = overhead.sweep_s("model=cnn", "epochs=1", "dataset.image_size=8")
    assert num_cells == 1
    assert 0 < train_s < wall_s
