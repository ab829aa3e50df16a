"""What all rooms share: tasks, jobs, protocols, names. No torch, no results."""
