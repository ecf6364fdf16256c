"""What changed in the world.

- measured_change: what changed, read off the errors themselves
- measured_match: how well that explains other errors
- measured_family: in which family of operations it falls
- ranking: the operations that explain most
- unclaimed: what errors are put down to where no cause is claimed
- claim: whether that is enough to name a cause
- diagnosis: all of it in order, for one failure mode
"""
