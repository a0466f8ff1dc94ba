"""Prefect flows and deployments, and what `maskloop up` starts and watches."""
