"""Every HTML page and plot of the project comes from here; knows nothing of what it shows."""
