"""Pictures are chosen to be labelled, go into a labelling tool, and come back as labels of the data."""
