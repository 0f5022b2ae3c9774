"""Everything that Penchant knows, copied to files and put back: where it was, on another cluster, or in other partitions.

It never runs inside a worker, and knows neither the ranking nor how options are read.
"""
