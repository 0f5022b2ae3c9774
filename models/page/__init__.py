"""What a list becomes before a person sees it: rules, caps, diversity, fatigue, exploration, and why each place is as it is.

Start at `compose`, which takes the decisions in their order.
"""
