"""What can go wrong, as one tree: a message, a hint that says what to do next, and the exit code of the command.

Exit codes: 1 bug, 2 usage or config (nothing was created), 3 data or checkpoint contract, 4 numerics, 5 environment,
75 preempted and saved. Messages say what, where and the value; hints say what to do next.
"""

from __future__ import annotations


class VctrainError(Exception):
    """A failure the user can act on; everything else is a bug and ends with a traceback under ``--debug``.

    >>> error = UsageError("no preset 'gaborum'", hint="did you mean gaborium?")
    >>> error.code, str(error), error.hint
    (2, "no preset 'gaborum'", 'did you mean gaborium?')
    """

    code = 1

    def __init__(self, message: str, *, hint: str = "", run: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.run = run
        """The run directory that can be resumed, where there is one."""

    def as_dict(self) -> dict[str, object]:
        """The ``error`` object of ``--json``: ``{"code", "message", "hint"}``."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class UsageError(VctrainError):
    """A flag, setting, preset or config file that cannot be used; nothing has been created."""

    code = 2


class ContractError(VctrainError):
    """A recording or checkpoint that does not hold what was asked of it."""

    code = 3


class NumericsError(VctrainError):
    """Training or evaluation produced numbers that cannot be trusted (NaN, infinity)."""

    code = 4


class FaultError(VctrainError):
    """The environment failed: disk, memory, network, a lost process."""

    code = 5


class PreemptedError(VctrainError):
    """The run was asked to stop, saved its state, and can be resumed."""

    code = 75


class LostProcessError(FaultError):
    """Another process of the run is gone, or did not answer in time; its own error says more."""


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM) before anything could be saved: exit code 143."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch found no memory: on a GPU torch has a class for that, on a CPU only words
    (alloc_cpu.cpp).

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("DefaultCPUAllocator: ", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


BY_CODE: dict[int, type[VctrainError]] = {
    kind.code: kind for kind in (VctrainError, UsageError, ContractError, NumericsError, FaultError, PreemptedError)
}
