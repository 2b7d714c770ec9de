"""The planner: typed instructions to a graph. See docs/design/builder.md.

    planner.py       the way through: stages, what the target needs, base images, every instruction, the Plan
    stages.py        which stage is which: names, numbers, cycles, ONBUILD
    stage.py         one stage while it is walked: tree, image, variables
    scope.py         arguments and variables, and their expansion
    run.py copying.py configuration.py ports.py         what each instruction does to a stage
    drafts.py        vertices whose inputs are not known yet (the context's paths are, last of all)

Pure, but for the base images that it asks `Bases` for.
"""
