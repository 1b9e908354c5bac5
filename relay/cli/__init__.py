"""The commands of ``arc-relay``: start, health, probe, hash, and the endpoint commands."""
