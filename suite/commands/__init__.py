"""Commands of `assay`, one module per part; each has `register(app)`."""
