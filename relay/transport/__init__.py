"""Bytes in and out: sockets, TLS and other streams, and facts about a socket."""
