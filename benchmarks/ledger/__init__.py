"""What the length of the ledger's history costs: the state, ``status``, ``history`` and an idle reconcile."""
