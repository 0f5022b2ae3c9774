"""Sentences reworded by a language model that cannot add a claim; the template stands where the check fails.

Nothing that serves waits for it.
"""
