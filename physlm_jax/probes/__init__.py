"""From a frozen model and data to a measurement: what the model knows, and where it keeps it."""
