"""The build cache: records of results and directories, keys that lead to them, the cap, and why a step
ran.
"""
