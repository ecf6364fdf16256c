"""Does the diagnosis name the right cause, and does its recipe mend it? Planted faults, real images.

python -m tests.benchmarks.faults --images DIR --json OUT
"""
