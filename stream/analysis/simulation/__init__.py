"""`penchant simulate`: a recorded day through the code that served it, as it was and with something changed.

It must not know how options are read.
"""
