"""Records on topics: types, bytes, times, codes.

It must not know settings, state or the broker.
"""
