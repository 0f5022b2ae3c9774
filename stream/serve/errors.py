"""Why a question is not answered, each with the status that HTTP has for it."""

from __future__ import annotations


class RefusedQuestionError(Exception):
    """A question that gets no answer; never a fault of this process."""

    status = 400

    def __init__(self, detail: str, field: str | None = None) -> None:
        """`detail`: what is wrong and what to do; `field`: the parameter, or the path into the body."""
        self.detail, self.field = detail, field
        super().__init__(detail)


class UnknownThingError(RefusedQuestionError):
    """There is no such item, place or placement."""

    status = 404


class NotReadyError(RefusedQuestionError):
    """The topics have not been read to their ends, or no broker answers."""

    status = 503


class TooManyError(RefusedQuestionError):
    """More requests than can be in work at one time."""

    status = 429


class NotAllowedError(RefusedQuestionError):
    """Who asks did not show the token that it takes."""

    status = 401


class GoneError(RefusedQuestionError):
    """A link that is good no more."""

    status = 410
