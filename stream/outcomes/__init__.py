"""Which list earned a click or a purchase: the ledger, crediting, strategies' totals, click learning of a partition.

It must not know the ranking.
"""
