"""The explorer: static pages that show who gets what and why, and what would change it.

They know nothing but the interface `/v1`, and nothing is built.
"""
