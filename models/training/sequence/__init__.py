"""Trains the sequence model (SASRec family) and exports it for `models.sequence`."""
