"""`onggi daemon`: the process around the engine. Entry: process.main(argv), of an ordinary user's engine
rootless.parent.main(argv).
"""
