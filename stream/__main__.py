"""`python -m stream` is `penchant`."""

from stream.cli.main import main

main()
