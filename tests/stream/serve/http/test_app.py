"""What handlers keep between requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from stream.serve.answers import Ready
from stream.serve.http import app as app_module
from stream.serve.http.app import Handlers
from stream.settings.load import SettingsAsGiven


class Asked:
    """A process that counts how often its figures are made."""

    def __init__(self) -> None:
        self.settings, self.made = SettingsAsGiven(), 0

    def now_answer(self) -> Ready:
        self.made += 1
        return Ready(True, str(self.made))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be set."""
    now = [100.0]
    monkeypatch.setattr(app_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


async def test_figures_are_made_once_for_all_who_ask_at_one_moment(clock: list[float]):
    asked: Any = Asked()
    handlers = Handlers(asked)
    request = Request({"type": "http", "method": "GET", "query_string": b"", "headers": []})
    answers = {bytes((await handlers.now(request)).body) for _ in range(50)}
    assert (asked.made, len(answers)) == (1, 1)
    clock[0] += app_module.FIGURES_KEPT_S
    assert bytes((await handlers.now(request)).body) not in answers
    assert asked.made == 2
