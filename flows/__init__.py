"""Prefect flows: order, retries, caching and schedule of the night and of retraining."""
