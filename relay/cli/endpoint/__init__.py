"""The commands `arc-relay share`, `arc-relay pipe` and `arc-relay forward`."""
