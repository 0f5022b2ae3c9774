"""Every figure that Penchant publishes comes from here: `make bench NAME=worker`, or all."""
