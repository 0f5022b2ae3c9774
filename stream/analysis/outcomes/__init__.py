"""`penchant report outcomes`: which lists and strategies earned what, read from the published topics.

It must not know the state or the ranking.
"""
