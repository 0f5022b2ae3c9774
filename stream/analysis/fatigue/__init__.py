"""`penchant train fatigue`: how much what was seen and not taken should count, from impressions and clicks.

It must not know how options are read.
"""
