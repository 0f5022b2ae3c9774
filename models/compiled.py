"""Loops over arrays that run as machine code: Numba, told once how.

For what is one event after another by its nature (a ring that the next event sees changed). A compiled loop says it in the
order in which it happens, costs a fraction of a microsecond an event, and lets other threads run meanwhile.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call; the machine code is kept beside the source, or in the user's cache directory.

    Arithmetic is that of IEEE 754 in the order written (no `fastmath`), so results do not depend on the machine's vector
    width. Arrays are not bounds-checked: whoever calls has made sure of the indices.
    """
    return _compiled(function)


def _compiled(function: Function, **options: Any) -> Function:
    made: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    with suppress(RuntimeError):  # neither place can be written: compile again in every process
        made._cache = _SourceCache(function)
    kept: Function = made
    return kept


def compiled_sums(function: Function) -> Function:
    """As `compiled`, for a loop that is one long sum in single precision: its terms may be added in any order, so that the
    machine's vector unit adds many at once. The last bits then depend on the machine, as those of a matrix product do."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


class _SourceCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, with files named after all sources that went into the machine code.

    Numba itself looks at the function's own file only. After an upgrade it would run code into which an older version of
    another file's function was compiled, and it fails to start where a class in a kept signature has been renamed.
    """

    _is_chosen = False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._choose_file()
        return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        self._choose_file()
        super().save_overload(sig, data)

    def _choose_file(self) -> None:
        """Not before the first call: only then is everything defined that the function uses."""
        if not self._is_chosen:
            self._is_chosen = True
            base = f"{self._impl.filename_base}-{source_digest(self._py_func)}"
            self._cache_file = IndexDataCacheFile(self._cache_path, base, self._impl.locator.get_source_stamp())


def source_digest(function: Callable[..., object]) -> str:
    """16 hex digits that differ when anything differs that the machine code of `function` is made of."""
    digest = blake2b(digest_size=8)
    for part in sorted(set(_parts(function, set()))):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _parts(function: Callable[..., object], seen: set[Callable[..., object]]) -> Iterator[str]:
    """The file of the function and of every compiled one that it reaches, the constants it names, and the fields of records."""
    seen.add(function)
    yield _file_digest(inspect.getfile(function))
    names = function.__globals__
    for name in function.__code__.co_names:
        used: Any = names.get(name)
        if isinstance(used, int | float | str | tuple):
            yield f"{name}={used!r}"
        elif isinstance(used, type) and hasattr(used, "_fields"):
            yield f"{name}={used.__module__}.{used.__qualname__}{used._fields}"
        elif hasattr(used, "py_func") and used.py_func not in seen:
            yield from _parts(used.py_func, seen)


@cache
def _file_digest(path: str) -> str:
    return blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
