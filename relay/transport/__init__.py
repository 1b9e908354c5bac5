"""Byte streams of clients: sockets, TLS, other streams, the epoll reader, facts about a socket."""
