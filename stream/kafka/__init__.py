"""The broker by librdkafka: topics, producing, transactions, replicas, the embedded broker.

It must not know what a record means.
"""
