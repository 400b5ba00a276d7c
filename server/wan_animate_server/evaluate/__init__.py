"""The ruler: how good takes are, against the truth of the made-up world and without any. Renders by the one verb."""
