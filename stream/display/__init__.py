"""How any figure looks, on a terminal and on a page.

It must not know which figure it is.
"""
