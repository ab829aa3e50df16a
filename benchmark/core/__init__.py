"""The words of the house: tasks, jobs, protocols, names. No torch, no results."""
