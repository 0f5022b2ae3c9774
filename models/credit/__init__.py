"""Which list earned an outcome: shares by rule, paths, position bias, off-policy estimates.

It must not know users.
"""
