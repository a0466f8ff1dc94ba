"""The service: pictures in over HTTP, instances out, and challengers rolled out beside the champion."""
