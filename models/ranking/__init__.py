"""What to recommend: candidates, features, weights, and the score as a sum of named parts.

It must not know who asked, or why.
"""
