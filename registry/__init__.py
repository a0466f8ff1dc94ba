"""Gates, verdicts, blessings, approvals, promotion, lineage; MLflow behind one adapter."""
