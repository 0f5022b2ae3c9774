"""`penchant report fairness`: whose items are shown, and whom lists serve well, read from the published topics.

It must not know the state or the ranking.
"""
