"""Faust's side of Kafka: the only importer of faust, mode and aiokafka.

It must not know what a chunk or a table holds.
"""
