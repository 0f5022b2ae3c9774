"""`penchant demo`: a broker, a worker and a year of a real shop on one machine, and what came out of it.

It must not know how lists are made: it reads the published topics, as any consumer does.

`run.py` is the course of it, `observer.py` and `tally.py` follow the published topics, `hit_rate.py` judges the lists,
`shoppers.py` picks whom to watch, `view.py` and `screen.py` show it, `summary.py` ends it.
"""

from stream.demo.run import Shop, run_demo

__all__ = ["Shop", "run_demo"]
