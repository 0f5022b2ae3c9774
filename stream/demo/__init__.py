"""`penchant demo`: a broker, a worker and a year of a real shop on one machine, and what came out of it.

It must not know how lists are made: it reads the published topics, as any consumer does.

`shop.py` says whose year it is, `run.py` is the course of it at the speed of `pace.py`, `steps.py` tells what comes first,
`observer.py` and `tally.py` follow the published topics, `hit_rate.py` judges the lists,
`shoppers.py` picks whom to watch, `view.py` and `screen.py` show it, `summary.py` ends it.
"""

from stream.demo.run import run_demo
from stream.demo.shop import Shop

__all__ = ["Shop", "run_demo"]
