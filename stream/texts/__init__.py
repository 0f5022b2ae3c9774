"""Texts to vectors while serving: the micro-batcher, the catalogue's backlog, queries, the store on disk.

It must not know lists or users.
"""
