"""Speed, as ratios from one run: each part of the course beside what a user would otherwise write."""
