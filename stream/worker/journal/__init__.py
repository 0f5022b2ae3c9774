"""Everything that a worker's lists were made of, in the order in which it was told, so that they can be made again.

It must not decide anything: a worker without a journal makes the same lists.
"""
