"""A night as a person meets it: its record, its report and its words. Nothing here loads torch.

- night: a night from its first to its last line
- lineage: a failure mode from night to night
- lines: which logs of lines are due, and when
- notify: who is told what unattended nights come to
- prune: old nights are removed
- moved: a folder of images that lies elsewhere now
- affected: whom a failure mode affects: line, camera, shift and the like, and since when
- summary: what a script reads
- report: the HTML report, and what the dashboard shares with it (templates/)
- phrases: findings in words, numbers as people write them
- terminal: findings on the terminal
"""
