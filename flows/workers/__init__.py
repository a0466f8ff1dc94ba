"""Work shared out to processes of this machine, behind a port."""
