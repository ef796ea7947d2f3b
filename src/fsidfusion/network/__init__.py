"""The networks: the published one, the light one, and how their weights are stored."""
