"""Builds: a compiler from a Dockerfile to layers. Text -> tree -> typed instructions -> graph -> solver.

The stages and who owns them are drawn in docs/design/builder.md.
"""
