"""The beginning of a journal: which worker it is of, with which settings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from stream import __version__
from stream.settings import Settings
from stream.settings.encoder import EncoderSettings
from stream.settings.kafka import KafkaSettings
from stream.settings.ranking import RankingSettings
from stream.settings.security import SecuritySettings
from stream.worker.journal.entries import FORMAT, Begin
from stream.worker.journal.writer import JournalWriter

ELSEWHERE: Final = frozenset(
    {"data_dir", "journal_dir", "journal_max_bytes"}
    | (set(KafkaSettings.model_fields) - {"message_max_bytes"})
    | set(SecuritySettings.model_fields)
    | set(EncoderSettings.model_fields)
    | {name for name in RankingSettings.model_fields if name.startswith("explanation_rewriter_")}
)
"""Settings on which no list depends once texts have their vectors; secrets are among them."""


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """What somebody has set of that on which lists depend."""
    found: dict[str, Any] = settings.model_dump(mode="json", exclude=set(ELSEWHERE), exclude_unset=True)
    return found


def begin_journal(settings: Settings, directory: Path) -> JournalWriter:
    """A journal that begins now.

    Raises:
        SettingsError: it cannot be written.
    """
    now_ms = time.time_ns() // 1_000_000
    writer = JournalWriter(directory / f"{now_ms}.journal", settings.journal_max_bytes)
    writer.add(Begin(FORMAT, __version__, now_ms, recorded_settings(settings)))
    return writer
