"""How good is a ranking? Prequential (test, then learn) full ranking over a file of events. Pure: no files, no clock."""
