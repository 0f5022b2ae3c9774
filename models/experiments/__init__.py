"""Experiments: who is in which arm, and what an arm changed, said so that one may look at any time.

Start at `assignment`, then `lift`. It must not know settings, lists or where outcomes come from.
"""
