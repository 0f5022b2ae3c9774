"""The explorer: pages that show who gets what and why, and what would change it; static files, no Python and nothing to build."""
