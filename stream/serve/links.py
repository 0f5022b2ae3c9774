"""Links of people's own pages: who, until when, and a signature (HMAC-SHA-256, RFC 2104) that only this shop can make."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from stream.serve.errors import GoneError, NotAllowedError

_MAC_BYTES: Final = 16
_TIME_BYTES: Final = 6


class Links:
    """Makes and reads them."""

    def __init__(self, key: bytes, days: int) -> None:
        self._key, self._days = key, days

    def make(self, user_id: str) -> tuple[str, int]:
        """The token, and until when it is good, ms."""
        until_s = int(time.time()) + self._days * 86_400
        body = until_s.to_bytes(_TIME_BYTES, "big") + user_id.encode()
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode(), until_s * 1000

    def user_of(self, token: str) -> str:
        """Whose page it opens.

        Raises:
            NotAllowedError: it is none of ours.
            GoneError: its time is over.
        """
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(body)) or len(body) <= _TIME_BYTES:
                raise ValueError
            user_id = body[_TIME_BYTES:].decode()
        except (ValueError, UnicodeError):
            raise NotAllowedError("this link is not valid. Fix: ask for a new one", "token") from None
        if int.from_bytes(body[:_TIME_BYTES], "big") < time.time():
            raise GoneError("this link's time is over. Fix: ask for a new one", "token")
        return user_id

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_MAC_BYTES]
