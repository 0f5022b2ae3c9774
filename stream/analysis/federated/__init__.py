"""`penchant train federated`: one model learned by shops that keep their events to themselves, on Flower.

It must not know how options are read; Flower is imported in functions, so nothing else needs it.
"""
