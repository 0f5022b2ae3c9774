"""The framework of `penchant serve` with nothing behind it: the same bytes for every request, to compare with.

python -m benchmarks.hello PORT BYTES
"""

from __future__ import annotations

import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def main() -> None:
    """The process."""
    port, size = map(int, sys.argv[1:])
    empty = msgspec.json.encode({"hello": ""})
    body = msgspec.json.encode({"hello": "x" * max(0, size - len(empty))})

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
