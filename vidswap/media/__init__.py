"""Files of films: the door to them."""
