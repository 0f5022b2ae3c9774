"""What can be wrong with an encoder or a model directory.

ModelError              the person can mend it: names the thing and the fix
└── ModelAwayError          it is somebody else's to serve, and nobody answers now
EncoderError            one call failed; the caller decides whether it was the texts or the device
└── OutOfMemoryError        the batch was too large for the device
"""

from __future__ import annotations


class ModelError(Exception):
    """A model or a provider that cannot be used. `message` names it, `fix` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} Fix: {fix}")


class ModelAwayError(ModelError):
    """A service that does not answer now; it may later."""


class EncoderError(Exception):
    """An `Encoder.encode` call that failed."""


class OutOfMemoryError(EncoderError):
    """The device had no memory for a batch of this size; a smaller one may do."""
