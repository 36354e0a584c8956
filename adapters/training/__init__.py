"""Many trainings as one program: schedules, losses, batches, optimisers, stacks."""
