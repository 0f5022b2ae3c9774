"""Tokens for aiokafka: asked for as RFC 6749 says, kept until shortly before they end, never waited for without end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from token_service import TokenService, unsigned_token

from stream.kafka.engine.tokens import KeptTokens, Token, token_provider
from stream.settings import Settings, load_settings

SECRET = "hunter2-do-not-print"


def settings_for(service: TokenService, **given: Any) -> Settings:
    return load_settings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_url=service.url,
        **{"sasl_oauth_client_id": "shop", "sasl_oauth_client_secret": SECRET, "connect_timeout_s": 5, **given},
    )


async def test_a_token_is_asked_for_once_however_many_connections_want_one() -> None:
    with TokenService("shop", SECRET) as service:
        provider = token_provider(settings_for(service, sasl_oauth_scope="a b"))

        tokens = await asyncio.gather(*(provider.token() for _ in range(5)))

    assert len(set(tokens)) == 1
    assert service.asked == [{"grant_type": "client_credentials", "scope": "a b"}]


async def test_a_token_is_renewed_after_four_fifths_of_its_life() -> None:
    clock = [1000.0]
    given = iter([Token("first", 1100.0), Token("second", 1200.0)])
    provider = KeptTokens(lambda: next(given), 5.0, lambda: clock[0])

    assert await provider.token() == "first"
    clock[0] = 1079.0
    assert await provider.token() == "first"
    clock[0] = 1080.0
    assert await provider.token() == "second"


@pytest.mark.parametrize(
    ("answer", "questions"),
    [
        ({"access_token": unsigned_token("shop", 3600)}, 1),  # the token itself says when it ends
        ({"access_token": "opaque"}, 2),
        ({"access_token": "opaque", "expires_in": 3600}, 1),
    ],
)
async def test_a_token_of_which_nobody_says_when_it_ends_is_not_kept(answer: dict[str, Any], questions: int) -> None:
    with TokenService("shop", SECRET) as service:
        service.answer = answer
        provider = token_provider(settings_for(service))

        assert await provider.token() == await provider.token() == answer["access_token"]

    assert len(service.asked) == questions


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"<html>" + SECRET.encode(), "answered without an access_token"),
        ({"error": SECRET}, "answered without an access_token"),
        (b"[]", "answered without an access_token"),
    ],
)
async def test_an_answer_without_a_token_is_an_error_that_may_pass_and_shows_nothing(answer: Any, told: str) -> None:
    with TokenService("shop", SECRET) as service:
        service.answer = answer
        provider = token_provider(settings_for(service))

        with pytest.raises(KafkaConnectionError, match=told) as raised:
            await provider.token()
        service.answer = None
        assert await provider.token()

    assert SECRET not in str(raised.value)


async def test_a_wrong_secret_is_told_as_the_providers_code() -> None:
    with TokenService("shop", SECRET) as service:
        provider = token_provider(settings_for(service, sasl_oauth_client_secret="wrong"))

        with pytest.raises(
            KafkaConnectionError, match=r"no OAUTHBEARER token: 127\.0\.0\.1:\d+ answered 401"
        ) as raised:
            await provider.token()

    assert "wrong" not in str(raised.value)


async def test_a_provider_that_is_away_is_told() -> None:
    with TokenService("shop", SECRET) as service:
        provider = token_provider(settings_for(service))

    with pytest.raises(KafkaConnectionError, match="does not answer"):
        await provider.token()


async def test_a_provider_that_does_not_answer_is_waited_for_until_the_deadline() -> None:
    asked, end = threading.Event(), threading.Event()

    def hang() -> Token:
        asked.set()
        end.wait(30)
        return Token("late", 0.0)

    with pytest.raises(KafkaConnectionError, match=r"no OAUTHBEARER token within 0\.05 s"):
        await KeptTokens(hang, 0.05).token()

    assert asked.is_set()
    end.set()
