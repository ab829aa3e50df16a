"""The SLURM back-end: jobs in bundles, bundles in job arrays, over submitit."""
