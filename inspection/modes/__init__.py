"""Failure modes: groups of errors, each with one cause.

- grouping: errors grouped by what moved their filters
- split: a group in which two causes lie
- suspect_labels: errors whose label is wrong by several signs
- side_by_side: errors beside reference images under the claimed cause
- mode_recipe: from the diagnosis to the recipe
"""
