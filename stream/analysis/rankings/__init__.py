"""`penchant evaluate rankings`: contenders judged on a file of events, test then learn.

It must not know how options are read.
"""
