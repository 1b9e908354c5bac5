"""Proof of the promises of the relay: model, simulation, fuzzers and soak (docs/reliability.md)."""
