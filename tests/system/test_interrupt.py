import os
import signal

import pytest

from image_sweeps.system.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_stops_at_once(number):
    before = signal.getsignal(number)
    with Interrupt.on_signals() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), number)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_is_what_a_shell_expects(number, code):
    with Interrupt.on_signals() as interrupt:
        os.kill(os.getpid(), number)
    assert interrupt.exit_code == code


def test_a_block_inside_another_knows_what_was_asked_before_it_and_the_other_what_was_asked_in_it():
    with Interrupt.on_signals() as outer:
        with Interrupt.on_signals() as inner:
            assert not inner.requested
            os.kill(os.getpid(), signal.SIGTERM)
        assert outer.exit_code == 143
        with Interrupt.on_signals() as inner:
            assert inner.requested
    assert not isinstance(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), Interrupt)


def test_without_a_signal_nothing_is_asked():
    with Interrupt.on_signals() as interrupt:
        pass
    assert interrupt.signal is None
