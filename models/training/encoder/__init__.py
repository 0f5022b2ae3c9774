"""Tunes a published sentence encoder on what users engage with together, and exports it for `models.encoder`.

Nothing that serves imports it.
"""
