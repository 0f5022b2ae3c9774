"""Texts as the encoder gets them: cleaned, bounded, named by a hash."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

from models.items.catalog import CatalogItem

MAX_CHARS_PER_TOKEN = 32
"""Text beyond `max_tokens` times this cannot matter: it is cut before anything walks through a megabyte of it."""

HASH_BYTES = 16

_UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b\u2028\u2029\ufeff]")


def clean_text(text: str, max_tokens: int) -> str:
    """NFC, without control characters and lone surrogates, single spaces, bounded; "" if nothing is left.

    Two texts with the same clean form get the same vector, and it may be the same computation.
    """
    limit = max_tokens * MAX_CHARS_PER_TOKEN
    text = _UNWANTED.sub(" ", text[: 2 * limit])
    return " ".join(unicodedata.normalize("NFC", text).split())[:limit].rstrip()


def text_hash(clean: str) -> bytes:
    """First 128 bits of BLAKE2b of a clean text's UTF-8: stored, so stable across releases."""
    return blake2b(clean.encode(), digest_size=HASH_BYTES).digest()


def item_text(item: CatalogItem) -> str:
    """What is encoded of a catalogue item: title, categories, description and media_text, most telling first."""
    parts = (item.title, ", ".join(item.categories), item.description or "", item.media_text or "")
    return ". ".join(part.strip().rstrip(".") for part in parts if part.strip())
