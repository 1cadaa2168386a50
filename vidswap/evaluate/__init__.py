"""The second journey: a clip and its swap -> how good the swap is."""
