"""From a data version to a judged candidate: training, judging, and how both are prepared."""
