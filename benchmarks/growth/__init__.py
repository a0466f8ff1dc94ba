"""What judging, the approval page and the registry cost as a workspace grows."""
