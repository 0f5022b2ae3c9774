"""Ask for somebody's list, send a click, ask again: the second list reflects the click.

    python ask.py http://127.0.0.1:8780 ann cup

Needs `pip install "penchant[client]"`. Exit code 0: both lists came, 1: one line says why not.
"""

from __future__ import annotations

import sys

from stream.client import Client
from stream.errors import PenchantError


def main(url: str, user_id: str, item_id: str) -> int:
    try:
        with Client(url) as penchant:  # Client(url, token=...) where penchant serve demands one
            before = penchant.recommendations(user_id, n=5)
            print("before:", ", ".join(place.title for place in before.items))
            sent = penchant.send(user_id, "click", item_id)
            after = penchant.recommendations(user_id, n=5, after=sent, wait_ms=3000, explain=True)
    except PenchantError as error:
        print(error, file=sys.stderr)
        return 1
    print("after:", ", ".join(place.title for place in after.items))
    if not after.fresh:
        print("the click is not in it yet: ask again, or wait longer")
    for place in after.items:
        print(f"{place.rank}. {place.title}: {(place.reason or {}).get('en', '')}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python ask.py URL USER_ID ITEM_ID")
    sys.exit(main(*sys.argv[1:]))
