"""A sample of real purchases to try Penchant with: one year of a gift shop (README.md beside this says what it is).

It must not be used to tune anything: it is too small to stand for a shop.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from stream.files.mapping import parse_mapping

_HERE = Path(str(files(__name__)))

EVENTS: Final[Path] = _HERE / "events.csv.gz"
ITEMS: Final[Path] = _HERE / "items.csv.gz"

MAPPING_TEXT: Final = "user_id=CustomerID:int,item_id=StockCode,action=:purchase,event_time=InvoiceDate,value=Quantity"
"""As a person would write it after `--map`; it fits the full data set too."""

ITEM_MAPPING_TEXT: Final = "item_id=StockCode,title=Description,price=UnitPrice"

MAPPING: Final = parse_mapping(MAPPING_TEXT)
ITEM_MAPPING: Final = parse_mapping(ITEM_MAPPING_TEXT, "item")

TIMEZONE: Final = "Europe/London"
"""Where the shop is; its times carry no offset."""

EVENT_COUNT: Final = 47_257
ITEM_COUNT: Final = 2_970
USER_COUNT: Final = 560
