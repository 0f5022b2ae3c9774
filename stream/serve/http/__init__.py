"""HTTP: questions as they are asked, answers as they are given, and everything between the socket and the desks.

It never decides what is in an answer.
"""
