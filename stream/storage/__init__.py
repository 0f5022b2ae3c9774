"""This machine's disk: RocksDB, and the overlay of what is not committed yet.

It must not know what the bytes mean.
"""
