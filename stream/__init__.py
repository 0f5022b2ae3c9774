"""How data moves: Kafka in, state, refresh, recommendations and their reasons out. Start reading at worker/app.py."""

__version__ = "0.2.0"
