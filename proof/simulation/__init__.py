"""Replayable simulation of a whole relay: seeded clients, streams, virtual time and schedule.

`plan` makes a plan from a seed, `run` runs the plan against `serve_relay`, and `checker` decides
whether the history of the run keeps the promises of docs/protocol.md. The plan, the histories and
the checker are pure. The client actors also run over real sockets.
"""
