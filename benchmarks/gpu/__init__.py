"""What training and prediction cost on a GPU, in one prepared command."""
