"""Each instruction's own grammar: a node of the tree to a typed value, in modules by what they are about.

Errors are DockerfileError with BuildKit's words, less the line, which their caller adds.
"""
