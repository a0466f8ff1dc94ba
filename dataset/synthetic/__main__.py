"""``python -m dataset.synthetic OUT`` writes a batch of demo pictures."""

from dataset.synthetic.generation import main

main()
