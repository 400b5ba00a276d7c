"""The report of a take: its figures as JSON, and one HTML file that needs nothing else to be read."""
