"""Models: registered, trained, retrained, judged.

- registry: models in the workspace, by the hash of their weights
- first_model: a model for those who have none
- training: the training itself
- retraining: targeted retraining of a failure mode
- acceptance: what accepts or refuses a candidate model
- scoring: labelled images scored as a defect log
"""
