"""Parts of the command line: what it shows of the relay that it runs."""
