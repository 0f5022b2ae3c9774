"""`penchant evaluate reasons`: how faithful the reasons are, beside other explainers.

It must not know how options are read.
"""
