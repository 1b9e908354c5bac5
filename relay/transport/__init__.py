"""Sockets, TLS and other streams, the epoll reader, and the state of a socket."""
