"""The explorer: static pages that show who gets what and why, and what would change it; no Python, nothing to build."""
