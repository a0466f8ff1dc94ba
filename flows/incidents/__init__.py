"""Incidents, folded from the ledger: looked up, added to by people, written up."""
