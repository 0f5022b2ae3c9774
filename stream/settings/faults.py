"""What pydantic refuses, as a person reads it."""

from __future__ import annotations

from pydantic import ValidationError


def first_fault(error: ValidationError, unknown: str = "no such setting") -> tuple[str, str]:
    """Where the first fault is, with its tables, and what it is; `unknown`: said of a name that nothing has."""
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    return ".".join(map(str, first["loc"])), unknown if first["type"] == "extra_forbidden" else reason
