"""The state part of a worker's job on other engines, each written as its users write it, each in an environment of its own.

A job reads the JSON events of one topic, keeps per user the last 64 behaviours and two decayed sums in a store with a
changelog, and commits every second. It is told what to do by environment variables: BOOTSTRAP_SERVERS, TOPIC, GROUP, DATA_DIR,
EVENTS (in the topic) and VARIANT; and says on standard output FIRST when it applies its first event, and, where the broker
does not know it, DURABLE when everything is applied and saved. Then it waits to be stopped.
"""
