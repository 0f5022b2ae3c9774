"""`penchant evaluate policy`: what another rate of exploration would have earned, from logged lists and what was seen of them.

It must not know how options are read.
"""
