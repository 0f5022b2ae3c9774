"""What is known of items: ids, catalogue, statistics, vectors, facts, priors.

It must not know the ranking.
"""
