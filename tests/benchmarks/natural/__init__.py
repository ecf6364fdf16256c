"""What the night finds where the world really changed: trained under one condition, tried under another.

python -m tests.benchmarks.natural --images TABLE --domain COLUMN --from VALUE --to VALUE --json OUT
"""
