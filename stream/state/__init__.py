"""One person in packed bytes, and how an event changes them. Pure.

It must not know settings, disk or Kafka.
"""
