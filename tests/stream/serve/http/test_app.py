"""The application before its topics have been read, and what it says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from stream.metrics import Metrics
from stream.serve.answers import Ready
from stream.serve.http import app as app_module
from stream.serve.http.app import Handlers, http_app
from stream.serve.http.routes import ROUTES
from stream.settings.load import SettingsAsGiven


def starting(**more: Any) -> httpx.AsyncClient:
    """One that has not read its topics yet."""
    app = SimpleNamespace(
        settings=SettingsAsGiven(),
        metrics=Metrics(),
        may_answer=False,
        why_not="reading interest.recommendations",
        ready=lambda: Ready(ready=False, why_not="reading interest.recommendations"),
        **more,
    )
    transport = httpx.ASGITransport(http_app(app))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize("route", [each for each in ROUTES if each.takes_lists], ids=lambda route: route.name)
async def test_until_the_topics_have_been_read_lists_are_not_answered(route):
    path = route.path.format(user_id="u", item_id="i", rank=1, token="t") if "{" in route.path else route.path
    async with starting() as asking:
        answer = await asking.request(route.method, path, content=b"{}")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "reading interest.recommendations" in answer.json()["detail"]


async def test_probes_tell_why_and_the_pages_are_there():
    async with starting() as asking:
        assert (await asking.get("/health/live")).json() == {"live": True}
        ready = await asking.get("/health/ready")
        assert (ready.status_code, ready.json()["why_not"]) == (503, "reading interest.recommendations")
        page = await asking.get("/explorer/")
        assert page.status_code == 200
        assert page.headers["content-encoding"] == "gzip"
        assert (await asking.get("/you/anything")).status_code == 200
        assert (await asking.get("/")).headers["location"] == "/explorer/"
        assert (await asking.get("/openapi.json")).json()["openapi"] == "3.1.0"


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
