"""The health of the data: repeats, leaks, outliers and suspicious labels of a version, and their page."""
