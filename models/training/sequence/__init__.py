"""Trains the sequence model (SASRec family) and exports it for `models.sequence`.

Nothing that serves imports it.
"""
