"""How many replicas, cards, gigabytes and how much money a load takes, from measured figures."""
