"""The only modules that import MLflow."""
