"""The example shop: what its page asks for, what it sends on, and the page itself in a browser."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import httpx
import pytest
from fake_serve import FakeServe, listening
from places import ROOT

from stream.client import AsyncClient

FOLDER = ROOT / "deploy" / "examples" / "shop"
CHROMIUM = shutil.which("chromium")
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    spec = spec_from_file_location("example_shop", FOLDER / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["example_shop"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["example_shop"]


@pytest.fixture
def shop_url(shop: Any, serve_url: str) -> Iterator[str]:
    with listening(shop.make_app(AsyncClient(serve_url))) as url:
        yield url


@pytest.fixture
def browser(shop_url: str) -> Iterator[httpx.Client]:
    """Keeps cookies, as a browser does; has been on the page."""
    with httpx.Client(base_url=shop_url) as client:
        client.get("/").raise_for_status()
        yield client


def do(browser: httpx.Client, *done: dict[str, object]) -> int:
    answer = browser.post("/api/events", json=list(done))
    assert answer.status_code == 200, answer.text
    return int(answer.json()["offset"])


def titles(browser: httpx.Client, after: int | None = None) -> list[str]:
    listed = browser.get("/api/list", params={} if after is None else {"after": after}).json()
    return [place["title"] for place in listed["items"]]


# --- what the page asks for -------------------------------------------------------------------------------------------


def test_a_click_changes_the_next_list(browser: httpx.Client) -> None:
    before = titles(browser)
    after = titles(browser, after=do(browser, {"action": "click", "item_id": "lamp"}))

    assert before[0] == "Tea cup"
    assert after[:2] == ['<b>Brass</b> lamp & "shade"', "蜂蜡蜡烛 (beeswax)"]


def test_every_place_has_its_reason_in_both_languages(browser: httpx.Client) -> None:
    offset = do(browser, {"action": "click", "item_id": "cup"})
    places = browser.get("/api/list", params={"after": offset}).json()["items"]

    assert places
    assert all(place["reason"].keys() == {"en", "zh"} for place in places)


def test_what_is_done_about_a_place_names_the_list_and_the_place(fake: FakeServe, browser: httpx.Client) -> None:
    listed = browser.get("/api/list").json()
    place = listed["items"][2]
    named = {"item_id": place["item_id"], "recommendation_id": listed["recommendation_id"], "slot": place["slot"]}
    do(browser, {"action": "impression", **named}, {"action": "click", **named}, {"action": "purchase", **named})

    assert [event.action for event in fake.events] == ["impression", "click", "purchase"]
    assert {(event.recommendation_id, event.slot) for event in fake.events} == {(listed["recommendation_id"], 3)}


def test_who_comes_again_is_the_same_and_who_asks_to_be_somebody_else_is(
    fake: FakeServe, browser: httpx.Client
) -> None:
    do(browser, {"action": "click", "item_id": "cup"})
    browser.get("/")
    do(browser, {"action": "click", "item_id": "cup"})
    browser.post("/api/somebody-else", json={})
    browser.get("/")
    do(browser, {"action": "click", "item_id": "cup"})

    first, again, other = (event.user_id for event in fake.events)
    assert first == again != other
    assert re.fullmatch(r"shop-[\w-]{22}", first)


@pytest.mark.parametrize("cookie", ["ann", "../../v1", "x" * 65])
def test_a_cookie_that_is_not_ours_makes_nobody_somebody_else(
    fake: FakeServe, browser: httpx.Client, cookie: str
) -> None:
    browser.cookies.set("visitor", cookie, domain="127.0.0.1")
    do(browser, {"action": "click", "item_id": "cup"})
    assert cookie not in fake.events[0].user_id


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'[{"action":"refund","item_id":"cup"}]', b'[{"action":"click","item_id":"c","x":1}]']
)
def test_what_the_page_would_not_send_is_refused(fake: FakeServe, browser: httpx.Client, body: bytes) -> None:
    answer = browser.post("/api/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert fake.events == []


def test_a_page_of_another_site_cannot_send_events(fake: FakeServe, browser: httpx.Client) -> None:
    form = browser.post(
        "/api/events", content=b'[{"action":"click","item_id":"cup"}]', headers={"content-type": "text/plain"}
    )
    assert form.status_code == 400
    assert "access-control-allow-origin" not in browser.get("/api/products").headers
    assert fake.events == []


def test_products_are_those_that_can_be_sold(browser: httpx.Client) -> None:
    found = [item["item_id"] for item in browser.get("/api/products").json()["items"]]
    assert "cup" in found
    assert "sofa" not in found
    assert [item["item_id"] for item in browser.get("/api/products", params={"q": "oak"}).json()["items"]] == ["tray"]


def test_without_penchant_the_page_is_told_in_a_sentence(shop: Any) -> None:
    with listening(shop.make_app(AsyncClient("http://127.0.0.1:1", timeout_s=0.01))) as url:
        answer = httpx.get(f"{url}/api/list")
    assert answer.status_code == 503
    assert "is penchant serve up?" in answer.json()["detail"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_asks_no_other_host_and_runs_no_script_of_its_own_text(browser: httpx.Client) -> None:
    policy = browser.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for path in ("/page/shop.js", "/page/shop.css"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert not re.search(r"https?://(?!www\.w3\.org)", answer.text)
        assert not re.search("innerHTML|insertAdjacentHTML|document.write|eval", answer.text)


def test_both_languages_say_the_same_things() -> None:
    text = (FOLDER / "page" / "shop.js").read_text(encoding="utf-8")
    said = text.partition("const TEXT = ")[2].partition("const SEEN_MS")[0]
    names = re.sub('"[^"]*"|`[^`]*`', "", said)
    english, chinese = (set(re.findall(r"(\w+):", part)) for part in names.split("  zh: {"))
    assert english - {"en"} == chinese


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_in_a_browser_a_click_changes_the_list_before_the_eyes(fake: FakeServe, shop_url: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 1000}, locale="en-GB", reduced_motion="reduce")
        page.set_default_timeout(WAIT_MS)
        trouble: list[str] = []
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(shop_url)
        first = page.locator("#list .place").first
        page.locator(".product", has_text="Brass").locator(".look").click()
        page.wait_for_selector("#state[data-state=fresh]")

        assert first.locator(".look").inner_text() == '<b>Brass</b> lamp & "shade"'
        assert "just now" in first.locator(".reason").inner_text()
        page.wait_for_selector("#sent li:has-text('places seen')")
        shown = [event for event in fake.events if event.action == "impression" and event.recommendation_id]
        assert {event.slot for event in shown} == {1, 2, 3, 4, 5}

        page.click("#language")
        assert page.evaluate("document.documentElement.lang") == "zh"
        assert first.locator(".reason").inner_text().startswith("因为你刚刚看了")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert trouble == []
        chromium.close()
