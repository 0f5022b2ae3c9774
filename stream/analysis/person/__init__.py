"""`penchant explain`: one person's list made anew, taken apart, and as if events had not happened.

It must not change what a worker holds.
"""
