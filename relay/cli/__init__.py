"""Commands of the command line: start, health, probe, hash."""
