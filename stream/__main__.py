"""`python -m stream` is `penchant`."""

from stream.cli import main

main()
