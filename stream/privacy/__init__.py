"""Requests of people on their way: asked for, signed, waited for, checked; and ids that name nobody.

It carries nothing out: a worker does, at the place of the request among the events of its person.
"""
