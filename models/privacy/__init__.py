"""Differential privacy of what everybody sees of items: what one person may contribute, noise, and its account.

Start at `release`. It must not know the ranking, nor draw or account for noise itself: OpenDP does.
"""
