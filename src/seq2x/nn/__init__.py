"""Mathematics only: numbers in, tensors out. Nothing here knows settings, text or files."""
