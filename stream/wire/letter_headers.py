"""Names of headers of dead letters that who writes and who reads them agree on; `reason` and so on are in the schema."""

from __future__ import annotations

from typing import Final

PRODUCER_HEADER: Final = "header."
"""What the name of a producer's header begins with in a letter, so that it is never taken for one of ours."""

PENCHANT_HEADER: Final = "penchant-"
"""What Penchant itself puts on records of the events topic: no producer's."""
