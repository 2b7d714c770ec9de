"""Networks and who is in them: one verb, one file; what they are made of is in onggi.network."""
