"""The flows that every workspace's `prefect.yaml` names, defined in `flows.scheduling.deployments`."""

from flows.scheduling.deployments import (
    drop_schedules,
    ingest_flow,
    monitor_flow,
    predict_flow,
    promote_flow,
    reconcile_flow,
    retrain_flow,
    train_flow,
)

__all__ = [
    "drop_schedules",
    "ingest_flow",
    "monitor_flow",
    "predict_flow",
    "promote_flow",
    "reconcile_flow",
    "retrain_flow",
    "train_flow",
]
