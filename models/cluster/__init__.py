"""Ray starts the processes of one training, on this machine or on a cluster, and starts them again."""
