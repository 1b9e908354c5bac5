"""Client addresses, data rates, limits per client, and admission control."""
