"""The append-only ledger: its port, SQL and leases."""
