"""Models: registered, trained, judged, promoted and handed on.

- registry: models in the workspace, by the hash of their weights
- first_model: a model for those who have none
- training: the training itself
- scoring: labelled images scored as a defect log
- comparison: two models on the same images
- promotion: which model is deployed, who decided it and why
- export, model_card: a model as files for another system
- tracking: retrainings and promotions in a plant's MLflow
"""
