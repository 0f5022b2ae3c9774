"""Rules of a placement: what they say, which items they mean, and what of them is in force.

It must not know people or lists.
"""
