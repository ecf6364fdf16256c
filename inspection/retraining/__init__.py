"""Targeted retraining: ways of mending compete, the best that harms nothing is trained in full and judged.

- material: everything that a retraining needs, decoded
- groups: which logged errors belong together, and folds over these groups
- arms: what each way of mending makes of the deployed model
- competition: the arms, judged by cross-validation
- gate: what accepts, rejects or leaves undecided a candidate model
- after: what became of the failures and of the blamed filters
- retrain: one retraining from the material to the record
"""
