"""Files that several hosts share: one port, a folder or S3 behind it, and the copies in a workspace."""
