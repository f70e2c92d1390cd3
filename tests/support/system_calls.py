"""Faults at single system calls of a real process: it is killed before its n-th, or its n-th is answered by an error.

A child is traced as a debugger would trace it: nothing in it knows, and the calls that C code makes count too. Only for
processes with one thread.
"""

import ctypes
import os
import platform
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")
on_x86 = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="numbers and registers are those of x86-64 Linux"
)

TRACE_ME, GET_REGISTERS, SET_REGISTERS, DETACH, NEXT_STOP, SET_OPTIONS = 0, 12, 13, 17, 24, 0x4200
MARK_CALLS, END_WITH_TRACER = 1, 1 << 20
AT_CALL = signal.SIGTRAP | 0x80
NO_CALL = 2**64 - 1

LOCK = 73
OPEN, TO_WRITE = 257, os.O_WRONLY | os.O_RDWR | os.O_CREAT

CHANGES = {
    1: "write",
    18: "pwrite64",
    20: "writev",
    26: "msync",
    74: "fsync",
    77: "ftruncate",
    82: "rename",
    83: "mkdir",
    87: "unlink",
    OPEN: "openat",
}
"""The calls by which Python, NumPy and torch change files, or open what they are to change, by their numbers."""


class Registers(ctypes.Structure):
    """`user_regs_struct` of <sys/user.h>."""

    _names = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base"
    _fields_ = [(name, ctypes.c_ulong) for name in (*_names.split(), "ds", "es", "fs", "gs")]


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if LIBC.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request}: {os.strerror(number)}")


@dataclass(frozen=True)
class Call:
    """A system call that a child is about to make."""

    pid: int

    @property
    def registers(self):
        found = Registers()
        ptrace(GET_REGISTERS, self.pid, ctypes.byref(found))
        return found

    @property
    def name(self):
        """Of a call that changes files, else None."""
        registers = self.registers
        reads = registers.orig_rax == OPEN and not registers.rdx & TO_WRITE
        return None if reads else CHANGES.get(registers.orig_rax)

    @property
    def target(self):
        """The file or folder that it is about."""
        registers = self.registers
        if self.name in ("rename", "mkdir", "unlink"):
            return self._text(registers.rdi)
        return self._text(registers.rsi) if self.name == "openat" else self._opened(registers.rdi)

    def _text(self, address):
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return Path(memory.read(1024).split(b"\0")[0].decode())

    def _opened(self, number):
        return Path(f"/proc/{self.pid}/fd/{number}").readlink()


def trace(work, meet):
    """Run `work` in a child. Returns whether it lived to the end of it, and what it raised, as text.

    `meet` is asked before each of its system calls: it answers None, SIGKILL, or the number of the error that the call
    is to fail with.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_traced(work, writer)
    os.close(writer)
    with open(reader) as said:  # noqa: PTH123, a descriptor
        alive = _follow(child, meet)
        return alive, said.read()


def _be_traced(work, writer):
    error = ""
    ptrace(TRACE_ME, 0)
    signal.raise_signal(signal.SIGSTOP)
    try:
        work()
    except BaseException as raised:
        error = "".join(traceback.format_exception_only(raised))
    signal.raise_signal(signal.SIGSTOP)  # from here on nobody looks
    os.write(writer, error.encode())
    os._exit(0)


def _follow(child, meet):
    """Returns whether the child comes to its second stop."""
    os.waitpid(child, 0)
    ptrace(SET_OPTIONS, child, MARK_CALLS | END_WITH_TRACER)
    returning, error, passed = False, None, 0
    while True:
        ptrace(NEXT_STOP, child, passed)
        passed = 0
        _, status = os.waitpid(child, 0)
        assert os.WIFSTOPPED(status), f"ended by something else: {status}"
        stopped_by = os.WSTOPSIG(status)
        if stopped_by == signal.SIGSTOP:
            ptrace(DETACH, child)
            os.waitpid(child, 0)
            return True
        if stopped_by != AT_CALL:
            passed = stopped_by
            continue
        if returning and error is not None:
            _set(child, rax=2**64 - error)
        elif not returning:
            error = meet(Call(child))
            if error is signal.SIGKILL:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return False
            if error is not None:
                _set(child, orig_rax=NO_CALL)
        returning = not returning


def _set(child, **values):
    registers = Call(child).registers
    for name, value in values.items():
        setattr(registers, name, value)
    ptrace(SET_REGISTERS, child, ctypes.byref(registers))
