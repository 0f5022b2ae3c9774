"""What a list becomes before a person sees it: rules, caps, diversity, fatigue, exploration, and why each place is as it is.

Start at `ranked`; `compose` takes the decisions in their order. It must not know where rules come from, nor how a list is
published.
"""
