"""The models that ship, and the list of them."""
