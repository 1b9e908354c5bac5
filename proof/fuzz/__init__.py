"""Fuzzing of the parsers: the same bytes go to the relay and to a reference implementation."""
