"""A clip and its swap -> how good the swap is; and how fast it was made."""
