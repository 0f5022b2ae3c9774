"""From numbers to sentences: what may be said of a reason, in each language.

It must not score anything.
"""
