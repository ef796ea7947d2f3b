"""A small object detector as a measuring instrument: labels, network, training and scores."""
