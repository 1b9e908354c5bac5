"""Pairs of sides: rendezvous, pumps, closing handshakes, keepalive, takeover and expiry."""
