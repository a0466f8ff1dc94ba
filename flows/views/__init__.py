"""Three views of the loop as pages: executive, on-call and debug, from facts that are gathered once."""
