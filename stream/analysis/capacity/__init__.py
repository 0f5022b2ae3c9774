"""How large an installation has to be, by what this release was measured to cost.

It measures nothing itself: `benchmarks/costs.py` writes the table that it reads.
"""
