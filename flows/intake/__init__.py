"""Labels and corrections come in; data versions are changed."""
