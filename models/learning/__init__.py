"""Weights and click probabilities learned from what people chose.

It must not know where the choices come from.
"""
