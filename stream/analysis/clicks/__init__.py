"""`penchant evaluate clicks`: how true stated probabilities of a click are.

It must not know how options are read.
"""
