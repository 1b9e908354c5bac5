"""Soak: pairs that open, talk, stall and end for hours, and the trend of the relay's resources."""
