"""Why an item is in a list: exact contributions, and the list without some items.

It must not know sentences.
"""
