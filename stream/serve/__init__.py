"""A process that is asked: it follows topics, and answers over HTTP what was published or what it ranks on the spot."""
