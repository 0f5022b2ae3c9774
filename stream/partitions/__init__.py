"""What a worker holds of one partition between commits: users, items.

It must not know Kafka.
"""
