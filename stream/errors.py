"""Every error Penchant raises on purpose.

    PenchantError
    ├── UsageError            the person can mend it: one line that names the thing and the fix, exit code 2
    │   ├── SettingsError         a setting is missing, malformed or contradicts another
    │   ├── InputFileError        a file cannot be read as what it was said to be
    │   ├── ModelUnusableError    a language model cannot be exported, loaded or run as asked
    │   │   └── EncoderAwayError      the service that makes text vectors does not answer; a worker goes on without
    │   ├── TopicsError           topics are missing or their partition counts do not match
    │   └── BrokerUnreachableError  nothing answered at bootstrap_servers within the deadline
    ├── RetryableError        transient: retried within bounds, then it becomes a crash
    │   └── NotAnsweredError      nobody answered `stream.client` in time
    ├── NotProvedError        a request of a person was not carried out in time, or a receipt does not prove what it should
    ├── PenchantHTTPError     `penchant serve` told `stream.client` why it does not answer
    └── InvariantError        a bug or a lost guarantee: the worker stops before anything is acknowledged
        ├── DeliveryError         a record was not accepted by the broker; nothing that depends on it is committed
        ├── RefusedError          Kafka refuses to let the worker read or commit
        ├── StuckError            nothing moves any more; a supervisor starts the worker again
        ├── StorageError          the local store could not be read or written (a full disk, say)
        └── CorruptStateError     stored bytes are not what this version, or any earlier one, wrote

A bad *record* is not an exception: `decode` returns `Rejected(reason, detail)` for it and the rest of the chunk goes on.
"""

from __future__ import annotations

EXIT_FAILED, EXIT_USAGE = 1, 2
"""Exit codes of a command that ends with an error; 2 is a UsageError's."""


class PenchantError(Exception):
    """The root; never raised itself."""


class NotProvedError(PenchantError):
    """A request of a person was not carried out in time, or a receipt does not prove what it should."""


class UsageError(PenchantError):
    """The person can mend it. `message` names the thing, `fix` says what to do; shown as one line, exit code 2."""

    def __init__(self, message: str, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} Fix: {fix}" if fix else message)


class SettingsError(UsageError):
    """A setting is missing, malformed or contradicts another."""


class InputFileError(UsageError):
    """A file cannot be read as what it was said to be."""


class ModelUnusableError(UsageError):
    """A language model cannot be exported, loaded or run as asked."""


class EncoderAwayError(ModelUnusableError):
    """The service that makes text vectors does not answer; it may come back."""


class TopicsError(UsageError):
    """Topics are missing or their partition counts do not match."""


class BrokerUnreachableError(UsageError):
    """Nothing answered at `bootstrap_servers` within the deadline."""


class RetryableError(PenchantError):
    """Transient; retried within bounds by whoever called."""


class InvariantError(PenchantError):
    """A bug or a lost guarantee: the worker stops before anything is acknowledged."""


class DeliveryError(InvariantError):
    """The broker did not accept a record; nothing that depends on it may be committed."""


class RefusedError(InvariantError):
    """Kafka refuses to let the worker read or commit (access rights taken away, say)."""


class StuckError(InvariantError):
    """Nothing moves any more, for no reason the worker knows of; started again it goes on from the last commit."""


class StorageError(InvariantError):
    """The local store could not be read or written; what was to be stored is not committed."""


class CorruptStateError(InvariantError):
    """Stored bytes are not what this version, or any earlier one, wrote."""
