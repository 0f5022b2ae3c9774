"""Why a question has no answer."""

from __future__ import annotations

from stream.errors import PenchantError, RetryableError
from stream.serve.answers import Problem


class PenchantHTTPError(PenchantError):
    """`penchant serve` said why it does not answer."""

    def __init__(self, problem: Problem, method: str, path: str) -> None:
        self.problem = problem
        """`title`, `detail` and, of a field that is wrong, its name in `field`."""
        self.status = problem.status
        """The HTTP status: 400 to 599."""
        where = f" ({problem.field})" if problem.field else ""
        super().__init__(f"{method} {path}: {problem.status} {problem.title}{where}. {problem.detail}")


class NotAnsweredError(RetryableError):
    """There was no answer within the deadline, or nobody to answer. An event may have been written all the same."""
