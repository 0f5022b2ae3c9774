"""The sequence model where it serves: what a user will want next, from the order and the times of what they had.

It must not import torch.
"""
