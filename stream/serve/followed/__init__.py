"""What the topics say by now, on this machine's disk: last lists, their reasons, what they earned, and the states of people.

It knows no question and no answer: whoever asks reads records as they were published.
"""
