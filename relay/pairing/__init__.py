"""Pairs of sides: rendezvous, pumps, closing handshakes, keepalive, takeover checks and expiry."""
