"""The scripts of the tools run in the tools' environments only."""

collect_ignore_glob = ["*_exports.py", "cvat_*.py"]
