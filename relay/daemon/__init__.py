"""The process that runs a relay: listeners, certificates, signals, logging and metrics."""
