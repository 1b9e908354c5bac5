"""Steps, sides, hints and reports of `arc-relay probe`."""
