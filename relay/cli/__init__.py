"""The command line: start, health, probe."""
