"""How well errors are found that were put into labels at known places."""
