"""Process of a relay: listeners, certificates, signals, logging and metrics."""
