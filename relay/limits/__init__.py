"""Client addresses, token buckets, limits per client, and admission control."""
