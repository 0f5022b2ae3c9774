"""How good is a ranking? Prequential (test, then learn) full ranking over a stream of events.

It must not read files or a clock.
"""
