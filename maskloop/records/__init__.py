"""What the ledger holds: one class for each kind of record."""
