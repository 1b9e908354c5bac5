"""Model of the relay's pairs for the model checker spin: relay.pml, and the command to check it."""
