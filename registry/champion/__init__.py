"""Which version serves: promotion, rollback, lineage and the local copy."""
