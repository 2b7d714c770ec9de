"""What the Engine API says: facts as text (engine-api.txt, onggi-api.txt), and their reader and OpenAPI
form.
"""
