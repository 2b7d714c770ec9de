"""The Dockerfile language: text to typed instructions. See docs/design/builder.md.

    text --lines--> logical lines --tree--> nodes --typed, read/--> Dockerfile (builder/instructions.py)

`typed.read` is the whole way. `expansion` is used by the planner. Not here: .dockerignore (spec/).
"""
