"""Files (CSV, JSON lines, Parquet, compressed) to records, and records to a topic.

It must not know the state.
"""
