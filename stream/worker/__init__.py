"""The running worker: everything is wired in `app`; chunks come in, commits go out, and what is wrong ends it.

It must not format a sentence or rank.
"""
