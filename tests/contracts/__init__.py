"""What must hold for every model, held against every model."""
