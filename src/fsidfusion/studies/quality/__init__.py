"""All test sets by all models and baselines: scores, standings, report, and the docs written from them."""
