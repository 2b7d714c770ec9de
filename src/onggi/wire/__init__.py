"""The Engine API's JSON: one module for each noun. Data only, no behaviour."""
