"""Pairs of sides: rendezvous, pumps, keepalive, takeover, expiry."""
