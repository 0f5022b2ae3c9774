"""A fresh list: who is due, the question for the ranking, its answer as records with reasons.

It must not send, commit, await or read a clock.
"""
