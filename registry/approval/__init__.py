"""Who may approve what, and where a version stands."""
