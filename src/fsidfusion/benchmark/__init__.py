"""Tables, baselines, speed and reports."""
