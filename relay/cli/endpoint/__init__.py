"""The commands `arc-relay share`, `arc-relay pipe` and `arc-relay forward`.

`commands` declares them for the command line. It imports the other modules of this package only
when a command runs, because `arc-relay start` must neither need the extra `client` nor wait for
such an import.
"""
