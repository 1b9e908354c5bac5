"""The process around a server: listeners, certificates, signals, logs, metrics."""
