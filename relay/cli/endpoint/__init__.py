"""The commands `arc-relay share`, `arc-relay pipe` and `arc-relay forward`.

`commands` declares them for the command line, and imports nothing else of this package until one of
them runs: `arc-relay start` must neither need the extra `client` nor wait for its import.
"""
