"""Error budgets of a workspace, and the Prometheus rules of its objectives."""
