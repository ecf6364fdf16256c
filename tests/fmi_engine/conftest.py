import os

# Two cores that others use too: a waiting thread that spins slows a small network down a hundredfold.
# Read when torch is loaded, so it is set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
