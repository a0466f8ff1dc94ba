"""How good the champion's masks probably are in production, before labels come and with the first of them."""
