"""Loops over arrays that run as machine code: Numba, told once how.

For what is one event after another by its nature (a ring that the next event sees changed). A compiled loop says it in the
order in which it happens, costs a fraction of a microsecond an event, and lets other threads run meanwhile.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numba
import numpy as np
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher

from models.compiled_files import MachineCodeFiles, shared_directory

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call; the machine code is kept in the user's cache directory, or beside the source.

    Arithmetic is that of IEEE 754 in the order written (no `fastmath`), so results do not depend on the machine's vector
    width. Arrays are not bounds-checked: whoever calls has made sure of the indices.
    """
    return _compiled(function)


def compiled_part(function: Function) -> Function:
    """As `compiled`, for what compiled functions alone call: without the code by which Python calls it, which for records
    of many arrays takes a good part of the time to compile. A call from Python raises TypeError."""
    made: Any = _compiled(function, no_cpython_wrapper=True)
    made.__class__ = _Part
    kept: Function = made
    return kept


class _Part(CPUDispatcher):  # type: ignore[misc]
    """Numba would call a null pointer."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"{self.py_func.__qualname__} is a part of compiled functions; Python can call its `py_func`")


def _compiled(function: Function, **options: Any) -> Function:
    # The C wrapper is for functions that are handed over as values; none are.
    made: Any = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    with suppress(RuntimeError):  # no place can be written: compile again in every process
        made._cache = _SourceCache(function)
    kept: Function = made
    return kept


def compiled_sums(function: Function) -> Function:
    """As `compiled`, for a loop that is one long sum in single precision: its terms may be added in any order, so that the
    machine's vector unit adds many at once. The last bits then depend on the machine, as those of a matrix product do."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


class CompilingStopped(BaseException):
    """Somebody asked for it. No Exception: Numba takes those for a signature that does not fit, and tries the next."""


@contextmanager
def compiling_unless(is_to_stop: Callable[[], bool]) -> Iterator[None]:
    """Inside the context, compiling in this process asks between two passes of the compiler whether it is to stop, and
    raises CompilingStopped then. A pass takes less than half a second; what was compiled before stays."""
    with event.install_listener("numba:run_pass", _Stopping(is_to_stop)):
        if is_to_stop():
            raise CompilingStopped
        yield


class _Stopping(event.Listener):  # type: ignore[misc]
    def __init__(self, is_to_stop: Callable[[], bool]) -> None:
        self._is_to_stop = is_to_stop

    def on_start(self, event: Any) -> None:  # noqa: ARG002  (Numba's interface)
        if self._is_to_stop():
            raise CompilingStopped

    def on_end(self, event: Any) -> None:
        """Nothing: the next pass asks."""


class _SourceCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, with files named after all sources that went into the machine code.

    Numba itself looks at the function's own file only. After an upgrade it would run code into which an older version of
    another file's function was compiled, and it fails to start where a class in a kept signature has been renamed.
    """

    _is_chosen = False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._choose_files()
        return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        self._choose_files()
        super().save_overload(sig, data)

    def _choose_files(self) -> None:
        """Not before the first call: only then is everything defined that the function uses."""
        if not self._is_chosen:
            self._is_chosen = True
            base = f"{self._impl.filename_base}-{source_digest(self._py_func)}"
            self._cache_file = MachineCodeFiles(shared_directory() or Path(self._impl.locator.get_cache_path()), base)


def source_digest(function: Callable[..., object]) -> str:
    """16 hex digits that differ when anything differs that the machine code of `function` is made of."""
    digest = blake2b(digest_size=8)
    for part in sorted({*_parts(function, set()), _file_digest(__file__)}):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _parts(function: Callable[..., object], seen: set[Callable[..., object]]) -> Iterator[str]:
    """The file of the function and of every compiled one that it reaches, the constants that it names, and the fields of every
    record that its module knows: arguments are records, and code reads their fields by position."""
    seen.add(function)
    yield _file_digest(inspect.getfile(function))
    names = function.__globals__
    for known in list(names.values()):
        if isinstance(known, type) and hasattr(known, "_fields"):
            yield f"{known.__module__}.{known.__qualname__}{known._fields}"
    for name in function.__code__.co_names:
        used: Any = names.get(name)
        if isinstance(used, int | float | str | tuple | np.generic):
            yield f"{name}={used!r}"
        elif isinstance(used, np.ndarray):
            yield f"{name}={used.dtype}{used.shape}{used.tobytes().hex()}"
        elif hasattr(used, "py_func") and used.py_func not in seen:
            yield from _parts(used.py_func, seen)


@cache
def _file_digest(path: str) -> str:
    return blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
