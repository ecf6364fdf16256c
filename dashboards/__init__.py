"""The review dashboard: server-rendered pages over the findings. Never loads torch."""
