"""Measure arc-relay and its alternatives under one load."""
