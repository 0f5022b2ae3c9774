"""Tokens for OAUTHBEARER as aiokafka asks for them: kept until shortly before they end, and every wait has a deadline.

librdkafka fetches its own (`sasl.oauthbearer.method=oidc`); the question to the provider is the same one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from stream.settings import Settings
from stream.settings.msk import msk_token

KEPT_SHARE: Final = 0.8
"""Part of its life for which a token is kept; librdkafka does the same."""

ANSWER_MAX_BYTES: Final = 1 << 20


class Token(NamedTuple):
    """What a broker is shown."""

    value: str
    ends_s: float
    """In seconds since 1970."""


class Kept(NamedTuple):
    """A token, and until when it is given out."""

    token: str
    renew_s: float


class KeptTokens(AbstractTokenProvider):  # type: ignore[misc]
    """One token for all connections, fetched in a thread; connections that ask meanwhile wait for the same answer.

    Raises, from `token`, an error of aiokafka's that may pass: it says so in its log and connects anew.
    """

    def __init__(self, fetch: Callable[[], Token], deadline_s: float, now: Callable[[], float] = time.time) -> None:
        """`deadline_s`: how long a connection waits for a token."""
        self._fetch, self._deadline_s, self._now = fetch, deadline_s, now
        self._kept = Kept("", 0.0)
        # Not asyncio's: that is one event loop's, and Faust's consumer has another than the worker.
        self._fetching = threading.Lock()

    async def token(self) -> str:
        """A token that does not end soon."""
        kept = self._kept
        if self._now() < kept.renew_s:
            return kept.token
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.to_thread(self._renewed)
        except TimeoutError:
            raise KafkaConnectionError(f"no OAUTHBEARER token within {self._deadline_s:g} s") from None
        except Exception as error:
            # What is wrong is the provider's to say, and may pass; aiokafka would not try again after other errors.
            raise KafkaConnectionError(f"no OAUTHBEARER token: {error}") from error

    def _renewed(self) -> str:
        if not self._fetching.acquire(timeout=self._deadline_s):
            raise TimeoutError
        try:
            if self._now() >= self._kept.renew_s:  # else another connection has asked meanwhile
                fresh, now = self._fetch(), self._now()
                self._kept = Kept(fresh.value, now + KEPT_SHARE * (fresh.ends_s - now))
            return self._kept.token
        finally:
            self._fetching.release()


def token_provider(settings: Settings) -> KeptTokens:
    """For `sasl_mechanism` OAUTHBEARER or AWS_MSK_IAM."""
    if settings.sasl_mechanism == "AWS_MSK_IAM":
        region = settings.sasl_aws_region or ""
        return KeptTokens(lambda: Token(*msk_token(region)), settings.connect_timeout_s)
    request, context = _request(settings), _context(settings)
    return KeptTokens(lambda: _ask(request, context, settings.connect_timeout_s), settings.connect_timeout_s)


def _request(settings: Settings) -> urllib.request.Request:
    """RFC 6749, section 4.4: the client names itself, and nobody else."""
    assert settings.sasl_oauth_url is not None
    assert settings.sasl_oauth_client_secret is not None
    names = f"{settings.sasl_oauth_client_id}:{settings.sasl_oauth_client_secret.get_secret_value()}"
    form = {"grant_type": "client_credentials"}
    if settings.sasl_oauth_scope is not None:
        form["scope"] = settings.sasl_oauth_scope
    return urllib.request.Request(  # noqa: S310  (http or https: the settings accept nothing else)
        settings.sasl_oauth_url,
        urllib.parse.urlencode(form).encode(),
        {
            "Accept": "application/json",
            "Authorization": f"Basic {base64.b64encode(names.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )


def _context(settings: Settings) -> ssl.SSLContext:
    location = settings.sasl_oauth_ca_location
    return ssl.create_default_context(cafile=None if location is None else str(location))


def _ask(request: urllib.request.Request, context: ssl.SSLContext, timeout_s: float) -> Token:
    """Never shows what the provider answered: that may be a token."""
    host = urllib.parse.urlsplit(request.full_url).netloc.rpartition("@")[2]
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:  # noqa: S310
            said = answer.read(ANSWER_MAX_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        raise ValueError(f"{host} answered {error.code}") from None
    except OSError as error:
        raise ValueError(f"{host} does not answer ({getattr(error, 'reason', None) or error})") from None
    try:
        body: dict[str, Any] = json.loads(said)
        value = str(body["access_token"])
        return Token(value, _ends_s(value, body))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{host} answered without an access_token") from None


def _ends_s(token: str, body: dict[str, Any]) -> float:
    """As the answer says, or the token itself; 0, so that it is kept for nobody, where neither does."""
    if "expires_in" in body:
        return time.time() + float(body["expires_in"])
    parts = token.split(".")
    if len(parts) != 3:
        return 0.0
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return float(claims.get("exp", 0.0))
