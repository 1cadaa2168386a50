"""Face images -> the weights in models/, one command a model."""
