"""What measures this project: quality, speed, features, downstream learners. Only ``cli`` imports it."""
