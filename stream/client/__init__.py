"""Asking `penchant serve` from Python: one method a route, answers as the types of `stream.serve.answers`.

It must not know how an answer is made, and nothing else in Penchant asks over HTTP. Needs the extra `client` (httpx).

    from stream.client import Client

    with Client("http://127.0.0.1:8780") as penchant:
        sent = penchant.send("ann", "click", "cup")
        answer = penchant.recommendations("ann", n=5, explain=True, after=sent)  # reflects the click
        for place in answer.items:
            print(place.rank, place.title, place.reason["en"] if place.reason else "")

`AsyncClient` has the same methods, to be awaited. What is not answered raises `PenchantHTTPError`, which says why, or
`NotAnsweredError`, if there was no answer at all in time.
"""

from stream.client.async_client import AsyncClient
from stream.client.errors import NotAnsweredError, PenchantHTTPError
from stream.client.sync_client import Client

__all__ = ["AsyncClient", "Client", "NotAnsweredError", "PenchantHTTPError"]
