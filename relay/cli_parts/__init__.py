"""The commands that try a relay out: `health` and `probe`."""
