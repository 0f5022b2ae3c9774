"""The explorer in a real Chromium on a real `penchant serve`: pages say what the interface answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from explorer_browser import Tabs, chromium, require_chromium
from serve_world import World, serve_world

require_chromium()
from playwright.sync_api import expect  # noqa: E402


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serve_world(tmp_path_factory.mktemp("explorer")) as running:
        yield running


@pytest.fixture(scope="module")
def tabs(world: World) -> Iterator[Tabs]:
    with chromium() as browser:
        tabs = Tabs(browser, world.serve.url)
        yield tabs
        tabs.close()
    assert tabs.complaints == []


def shown(page: Any) -> list[tuple[str, str]]:
    titles, scores = (page.locator(f".place {part}").all_inner_texts() for part in (".title", ".score"))
    return list(zip(titles, (score.replace("−", "-") for score in scores), strict=True))


def said(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["title"], f"{each['score']:.2f}") for each in answer["items"][:10]]


def test_a_list_and_what_it_would_be_are_those_of_the_interface(world: World, tabs: Tabs) -> None:
    page = tabs.open("/explorer/?user=u3", loaded=".place .title")
    assert shown(page) == said(world.serve.get("/v1/users/u3/recommendations", n=20, explain=True))
    with page.expect_response(
        lambda response: response.url.endswith("/what-if") and "without" in response.request.post_data
    ) as asked:
        page.locator(".did .ghost").first.click()
    answer = asked.value.json()
    page.wait_for_selector("#asif:not([hidden]) .says:not(:has(.asking))")
    assert shown(page) == said(answer["list"])
    now = {each["item_id"]: each["rank"] for each in answer["before"]["items"]}
    moved = [each for each in answer["list"]["items"][:10] if now.get(each["item_id"]) != each["rank"]]
    assert page.locator(".place.moved").count() == len(moved)
    page.keyboard.press("Escape")
    expect(page.locator("#asif")).to_be_hidden()


def test_every_page_draws_what_the_server_says(world: World, tabs: Tabs) -> None:
    page = tabs.open("/", loaded=".people a")
    for path, there in (
        ("/explorer/now.html", "#figures .big"),
        ("/explorer/item.html", ".rows a"),
        ("/explorer/item.html?item=i4", "#nb-h"),
        ("/explorer/item.html?item=nothing", "text=No item “nothing”"),
        ("/explorer/policy.html", ".draft"),
        ("/explorer/?user=nobody-knows", "text=Nobody called"),
        ("/you/no-such-link", "text=This link does not open any more"),
    ):
        page.goto(world.serve.url + path)
        page.wait_for_selector(f"main {there}" if there[0] in "#." else f"main >> {there}")


def test_a_person_can_open_their_page_and_want_less(world: World, tabs: Tabs) -> None:
    page = tabs.open("/explorer/?user=u7", loaded=".place")
    page.locator("button", has_text="Link to their own page").click()
    page.locator(".own-link a").click()
    page.wait_for_selector(".belief")
    page.locator("button", has_text="Less of this").first.click()
    page.locator("button", has_text="Send now").click()
    page.wait_for_selector("text=You will see fewer")
    world.serve.wait_for("it is remembered", lambda: "dislike" in str(world.serve.get("/v1/users/u7")["behaviours"]))
