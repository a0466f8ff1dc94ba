"""What starts clusters takes minutes: `make cluster` runs it, `make test` does not."""

import os

collect_ignore_glob = [] if os.environ.get("MASKLOOP_CLUSTER") else ["test_*.py"]
