"""What the features of a network do, measured and drawn."""
