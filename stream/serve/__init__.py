"""A process that is asked: it follows topics, and answers over HTTP what was published or what it ranks on the spot.

It writes no state and joins no group: as many of it as wanted stand beside each other.
"""
