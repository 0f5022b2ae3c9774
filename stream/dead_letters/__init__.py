"""What workers refused, for the people who mend it: looked at, sent again each once, deleted.

It decides nothing of what is refused, and never runs inside a worker.
"""
