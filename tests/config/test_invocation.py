import sys

import pytest

from image_sweeps.config.invocation import program, typed


@pytest.mark.parametrize(
    ("given", "command", "other"),
    [
        (["python", "-m", "src.train"], "python -m src.train", "python -m src.sync"),
        (["python", "-u", "-X", "dev", "-m", "src.train"], "python -m src.train", "python -m src.sync"),
        (["python", "-m", "image_sweeps.train"], "python -m image_sweeps.train", "python -m image_sweeps.sync"),
        (["python", "-m", "image_sweeps", "train"], "image-sweeps train", "image-sweeps sync"),
        (["/usr/bin/python", "/usr/bin/image-sweeps", "train"], "image-sweeps train", "image-sweeps sync"),
    ],
)
def test_commands_are_printed_in_the_form_that_was_typed(monkeypatch, given, command, other):
    monkeypatch.setattr(sys, "orig_argv", [*given, "-m", "model=cnn,mlp"])
    assert typed() == f"{command} -m model=cnn,mlp"
    assert " ".join(program("sync")) == other


def test_where_a_scheduler_has_started_it_commands_are_those_of_the_checkout(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "torch.distributed.run"])
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=1"])
    assert typed() == "python -m src.train seed=1"
