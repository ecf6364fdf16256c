"""What somebody may do, in three steps of which each holds the one before."""

from enum import StrEnum


class Role(StrEnum):
    """A step."""

    VIEWER = "viewer"  # reads
    REVIEWER = "reviewer"  # gives verdicts, relabels
    ENGINEER = "engineer"  # starts retrainings, promotes, rolls back, reads the record of who did what

    def includes(self, other: "Role") -> bool:
        """Whether who has this role may do what `other` may."""
        steps = list(Role)
        return steps.index(self) >= steps.index(other)
