"""The command line `penchant`: one file a command; options, exit codes, what a person types and reads.

It holds no decision, and nothing imports it.
"""
