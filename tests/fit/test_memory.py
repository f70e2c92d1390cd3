import errno
import mmap

import numpy as np
import pytest
import torch

from image_sweeps.fit.memory import HINT, out_of_memory

TOO_MUCH = {  # more than any machine has addresses for
    "torch": (lambda: torch.zeros(2**60, dtype=torch.uint8), "you tried to allocate 1152921504606846976 bytes"),
    "numpy": (lambda: np.zeros(2**60, dtype=np.uint8), "Unable to allocate 1.00 EiB for an array"),
    "python": (lambda: bytearray(2**60), "MemoryError"),
    "a map": (lambda: mmap.mmap(-1, 2**60), "Cannot allocate memory"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_memory_that_cannot_be_had_is_told_with_what_can_be_done(name):
    allocate, what = TOO_MUCH[name]
    with pytest.raises((MemoryError, RuntimeError, OSError)) as caught:
        allocate()
    text = out_of_memory(caught.value)
    assert text.startswith("out of memory: ")
    assert what in text
    assert text.endswith(f". {HINT}")
    assert "enforce fail" not in text


def test_what_libraries_make_of_it_counts_too():
    def fail():
        try:
            bytearray(2**60)
        except MemoryError as error:
            raise ValueError("something else") from error

    with pytest.raises(ValueError, match="something else") as caught:
        fail()
    assert out_of_memory(caught.value).startswith("out of memory: MemoryError. ")


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOSPC, "No space left"), ValueError()])
def test_other_errors_are_none_of_memory(error):
    assert out_of_memory(error) is None
