"""The process around a relay: listeners, certificates, signals, logging and metrics."""
