"""`arc-relay probe`: a real pair through whatever proxies are in between, step by step."""
