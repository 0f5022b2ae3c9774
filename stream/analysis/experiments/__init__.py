"""`penchant report experiment`: what the arms of an experiment changed, read from the published topics.

It must not know the state or the ranking.
"""
