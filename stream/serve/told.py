"""What a person did, said as the reason for what is believed of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from stream.reasons.ago import ago
from stream.reasons.language import ACTIONS_TOLD, languages_named
from stream.reasons.sentence import MAX_CAUSES, Cause, say, title_of
from stream.refresh.knowledge import Knowledge
from stream.serve.answers import Behaviour
from stream.settings import Settings
from stream.wire.times import parse_timezone


class Teller:
    """Speaks the languages of the settings."""

    def __init__(self, settings: Settings, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._languages = languages_named(settings.explanation_languages)
        self._zone = parse_timezone(settings.explanation_timezone)

    def told(self, behaviours: Sequence[Behaviour]) -> dict[str, str]:
        """The newest of these as causes, by language; empty where none of them can be a reason."""
        able = sorted((b for b in behaviours if b.action in ACTIONS_TOLD), key=lambda each: -each.event_time)
        newest = able[:MAX_CAUSES]
        if not newest:
            return {}
        moment_ms = self._knowledge.sentence_time_ms(time.time_ns() // 1_000_000)
        when = ago(np.array([each.event_time for each in newest]), moment_ms, self._zone).tolist()
        causes = [Cause(each.action, title_of(each.title), 1.0, code) for each, code in zip(newest, when, strict=True)]
        return {language.code: say(language, causes, "") for language in self._languages}
