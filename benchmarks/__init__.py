"""Measure arc-relay beside what a person could run instead, under one load."""
