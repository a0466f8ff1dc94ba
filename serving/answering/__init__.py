"""From an accepted file to an answer: decoding, batching, the models, rendering."""
