"""The past asked again by the worker's own code: how good rankings, reasons, click probabilities were; what lists earned.

It never runs inside a worker, and knows neither Faust nor the command line.
"""
